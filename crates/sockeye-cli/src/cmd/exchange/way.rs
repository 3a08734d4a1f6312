//! Whether the way to a server can be gone at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sockeye::Address;
use sockeye::address::quoted;
use sockeye::inspect::Mount;

use crate::args::ConnectTarget as Target;
use crate::cmd::hung;
use crate::exit::{Exit, failure};
use crate::output;

/// No file system is given up sooner: a busy machine takes its time too.
const LEAST: Duration = Duration::from_secs(1);

/// Sees to it that the file systems of all that is going to be opened answer within the time for
/// connecting, and within `timeout`: once a system call of ours is caught in one that does not, not
/// even SIGKILL ends this process.
///
/// # Errors
/// Out of time, where one does not answer.
pub(crate) fn must_be_open(
    target: &Target,
    local: Option<&Address>,
    files: &[PathBuf],
    timeout: Option<Duration>,
) -> anyhow::Result<()> {
    let address = &target.address;
    let addresses = [Some(address), local].into_iter().flatten();
    let sockets = addresses.filter_map(Address::path);
    let paths: Vec<&Path> = sockets.chain(files.iter().map(PathBuf::as_path)).collect();
    let time = target.connect_timeout();
    let time = timeout.map_or(time, |timeout| time.min(timeout)).max(LEAST);
    if paths.is_empty() {
        return Ok(());
    }
    let Some(path) = hung::first_unanswered(&paths, time) else {
        return Ok(());
    };
    let mount = Mount::of(path);
    let (file_system, advice) = (
        hung::file_system(mount.as_ref()),
        hung::advice(mount.as_ref()),
    );
    let of = match address.path() {
        Some(own) if own == path => String::new(),
        _ => format!(" with {}", quoted(path)),
    };
    let time = output::duration(time);
    let text = format!(
        "cannot connect to {}{of}: {file_system} has not answered for {time}; {advice}",
        address.quoted()
    );
    Err(failure(Exit::TimedOut, text))
}
