//! Files whose file system does not answer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::stat;
use sockeye::address::{quoted, shell_quoted};
use sockeye::inspect::{Aside, Mount};

/// How long file systems that hang are waited for, all of them together.
pub(super) const DEADLINE: Duration = Duration::from_secs(3);

/// `/mnt/a.sock, /mnt/b.sock and 2 more could not be looked at: …`
pub(super) fn words(files: &[PathBuf]) -> String {
    let name = |path: &PathBuf| quoted(path).to_string();
    let mut names: Vec<String> = files.iter().take(5).map(name).collect();
    if files.len() > names.len() {
        names.push(format!("{} more", files.len() - names.len()));
    }
    let last = names.pop().unwrap_or_default();
    let names = match names.is_empty() {
        true => last,
        false => format!("{} and {last}", names.join(", ")),
    };
    // A name in another mount namespace may lead to none here.
    let mut mounts = files.iter().filter_map(|file| Mount::of(file));
    let mount = mounts.find(Mount::is_remote);
    format!(
        "{names} could not be looked at: {} does not answer; {}",
        file_system(mount.as_ref()),
        advice(mount.as_ref())
    )
}

/// `the file system at /mnt (fuse.sshfs)`, where links cannot have led elsewhere.
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

/// What to do about it.
pub(super) fn advice(mount: Option<&Mount>) -> String {
    match mount.filter(|mount| mount.is_remote()) {
        Some(mount) => format!(
            "look at the process or machine that serves it, or unmount it: umount -l {}",
            shell_quoted(&mount.point)
        ),
        None => "look at what serves it, and at dmesg".to_owned(),
    }
}

/// The first of `paths` whose file system has not answered within `time`.
pub(super) fn first_unanswered<'a>(paths: &[&'a Path], time: Duration) -> Option<&'a Path> {
    let deadline = Instant::now() + time;
    // Where no copy can be had, we find out by ourselves.
    let mut look = Aside::start(|answers| {
        for path in paths {
            let _ = stat(*path);
            answers.send(&[]);
        }
    })
    .ok()?;
    let mut paths = paths.iter();
    paths.find_map(|path| match look.next(deadline) {
        Err(error) if error.kind() == ErrorKind::TimedOut => Some(*path),
        _ => None,
    })
}

/// A path in a message between processes: it need not be text.
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
