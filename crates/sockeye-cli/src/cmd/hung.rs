//! File systems that do not answer (NFS, FUSE).

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::stat;
use sockeye::Address;
use sockeye::address::{quoted, shell_quoted};
use sockeye::inspect::{ForkedWorker, Mount};

use crate::exit::{Exit, failure};
use crate::output;

/// The timeout for all file systems that hang together.
pub(super) const DEADLINE: Duration = Duration::from_secs(3);

/// A file system that answers takes no longer for a file.
pub(super) const LEAST: Duration = Duration::from_millis(100);

/// `/mnt/a.sock, /mnt/b.sock and 2 more could not be looked at: …`, of each file system.
pub(super) fn describe(files: &[PathBuf]) -> String {
    let mut groups: Vec<(Option<Mount>, Vec<&PathBuf>)> = Vec::new();
    for file in files {
        // A name in another mount namespace may be on no mount of ours.
        let mount = Mount::of(file).filter(Mount::is_remote);
        match groups.iter_mut().find(|(known, _)| *known == mount) {
            Some((_, files)) => files.push(file),
            None => groups.push((mount, vec![file])),
        }
    }
    let is_any_remote = groups.iter().any(|(mount, _)| mount.is_some());
    let told = groups.iter().map(|(mount, files)| {
        let why = match mount {
            // Others that hang may have delayed it.
            None if is_any_remote => "its file system has not answered in time".to_owned(),
            mount => format!(
                "{} does not answer; {}",
                file_system(mount.as_ref()),
                advice(mount.as_ref())
            ),
        };
        format!("{} could not be looked at: {why}", names(files))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn names(files: &[&PathBuf]) -> String {
    let name = |path: &&PathBuf| quoted(path).to_string();
    let mut names: Vec<String> = files.iter().take(5).map(name).collect();
    if files.len() > names.len() {
        names.push(format!("{} more", files.len() - names.len()));
    }
    let last = names.pop().unwrap_or_default();
    if names.is_empty() {
        last
    } else {
        format!("{} and {last}", names.join(", "))
    }
}

/// `the file system at /mnt (fuse.sshfs)`.
pub(super) fn file_system(mount: Option<&Mount>) -> String {
    match mount.filter(|mount| mount.is_remote()) {
        Some(mount) => format!(
            "the file system at {} ({})",
            quoted(&mount.point),
            quoted(&mount.kind)
        ),
        None => "its file system".to_owned(),
    }
}

/// The hint for the user.
pub(super) fn advice(mount: Option<&Mount>) -> String {
    match mount.filter(|mount| mount.is_remote()) {
        Some(mount) => format!(
            "look at the process or machine that serves it, or unmount it: umount -l {}",
            shell_quoted(&mount.point)
        ),
        None => "look at what serves it, and at dmesg".to_owned(),
    }
}

/// Checks that the file systems of all `paths` that are going to be opened answer within `time`: once
/// a system call of this process hangs in one, not even SIGKILL ends it. `slow` is called once with what
/// is waited for.
///
/// # Errors
/// Exit 6 if one does not answer; `tried` is what could not be done.
pub(super) fn must_answer(
    tried: &str,
    address: &Address,
    paths: &[&Path],
    time: Duration,
    slow: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let of = |path: &Path| match address.path() {
        Some(own) if own == path => address.quoted().to_string(),
        _ => format!("{} with {}", address.quoted(), quoted(path)),
    };
    let told = |path: &Path| {
        let file_system = file_system(Mount::of(path).as_ref());
        slow(&format!("{}: {file_system} does not answer", of(path)));
    };
    let Some(path) = first_unanswered(paths, time, told) else {
        return Ok(());
    };
    let mount = Mount::of(path);
    let text = format!(
        "cannot {tried} {}: {} has not answered for {}; {}",
        of(path),
        file_system(mount.as_ref()),
        output::duration(time),
        advice(mount.as_ref())
    );
    Err(failure(Exit::TimedOut, text))
}

/// The first of `paths` whose file system has not answered within `time`; `slow` is called with one that
/// takes longer than [`DEADLINE`].
fn first_unanswered<'a>(
    paths: &[&'a Path],
    time: Duration,
    slow: impl FnOnce(&Path),
) -> Option<&'a Path> {
    if paths.is_empty() {
        return None;
    }
    let deadline = Instant::now() + time;
    let soon = Instant::now() + DEADLINE;
    let mut slow = Some(slow).filter(|_| soon < deadline);
    // If no copy of this process can be made, the check is left out.
    let mut worker = ForkedWorker::start(|results| {
        for path in paths {
            let _ = stat(*path);
            results.send(&[]);
        }
    })
    .ok()?;
    let mut paths = paths.iter();
    let is_late = |answer: io::Result<_>| {
        answer.is_err_and(|error: io::Error| error.kind() == ErrorKind::TimedOut)
    };
    let late = paths.find(|path| {
        let end = if slow.is_some() { soon } else { deadline };
        is_late(worker.next(end))
            && match slow.take() {
                Some(slow) => {
                    slow(path);
                    is_late(worker.next(deadline))
                }
                None => true,
            }
    });
    late.copied()
}

/// A path in a message between processes, as bytes: it need not be UTF-8.
pub(super) mod path_bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::cmd) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(to)
    }

    pub(in crate::cmd) fn deserialize<'de, D>(from: D) -> Result<PathBuf, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(OsString::from_vec(Vec::deserialize(from)?).into())
    }
}
