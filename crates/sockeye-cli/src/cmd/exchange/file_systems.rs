//! Whether the file systems that a client needs answer at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sockeye::Address;

use crate::args::ConnectTarget;
use crate::cmd::hung;

/// No file system is given up sooner: a busy machine takes time, too.
const LEAST: Duration = Duration::from_secs(1);

/// Checks that the file systems of all files that are going to be opened answer within the connect
/// timeout, and within `timeout`.
///
/// # Errors
/// Exit 6 if one does not answer.
pub(crate) fn check_file_systems<'a>(
    target: &'a ConnectTarget,
    local: Option<&'a Address>,
    files: impl IntoIterator<Item = &'a PathBuf>,
    timeout: Option<Duration>,
) -> anyhow::Result<()> {
    let address: &Address = &target.address;
    let addresses = [Some(address), local].into_iter().flatten();
    let sockets = addresses.filter_map(Address::path);
    let paths: Vec<&Path> = sockets
        .chain(files.into_iter().map(PathBuf::as_path))
        .collect();
    let time = target.connect_timeout();
    let time = timeout.map_or(time, |timeout| time.min(timeout)).max(LEAST);
    hung::must_answer("connect to", address, &paths, time, |_| {})
}
