//! The file of a socket that is not at the name that was bound: it was renamed (HAProxy binds
//! `a.sock.PID.tmp` and renames that), or the name leads through an fd of the process that
//! has bound it (`/proc/self/fd/N/app.sock`), which is somebody else's here.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{OFlags, Stat, lstat};

use super::diag::FileId;
use super::mounts::Mounts;
use super::socket::Holder;

/// The most entries that are read of one directory.
const MOST_ENTRIES: usize = 20_000;
/// The most entries of all directories together.
const MOST_OF_ALL: usize = 200_000;
/// The most fds of one process that are looked at.
const MOST_DESCRIPTORS: usize = 1024;

/// What has been read of directories.
pub(super) struct Search {
    scanned: HashMap<PathBuf, Scan>,
    /// The directories that processes have open, by pid.
    open: HashMap<i32, Vec<PathBuf>>,
    /// How many entries may still be read.
    left: usize,
}

/// The sockets of a directory.
struct Scan {
    by_inode: HashMap<u32, (OsString, Stat)>,
    /// Whether these are all.
    is_whole: bool,
}

/// Where a file was found.
pub(super) struct Found {
    pub(super) stat: Stat,
    pub(super) name: OsString,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            scanned: HashMap::new(),
            open: HashMap::new(),
            left: MOST_OF_ALL,
        }
    }
}

impl Search {
    /// The name that this file has in that directory. `Err` where not all of it could be read, so
    /// that the file may be there.
    pub(super) fn look_in(
        &mut self,
        directory: &Path,
        id: FileId,
        mounts: &Mounts,
    ) -> Result<Option<Found>, ()> {
        if !self.scanned.contains_key(directory) {
            let scan = self.scan(directory);
            self.scanned.insert(directory.to_owned(), scan);
        }
        let scan = &self.scanned[directory];
        match scan.by_inode.get(&id.inode) {
            Some((name, stat)) if id.is_at(&directory.join(name), stat, mounts) => {
                Ok(Some(Found {
                    stat: *stat,
                    name: name.clone(),
                }))
            }
            _ if scan.is_whole => Ok(None),
            _ => Err(()),
        }
    }

    /// The directories that a process has open, as paths that lead there. After a takeover the
    /// socket is in another process, where its directory has another number.
    pub(super) fn open_directories(&mut self, holder: &Holder) -> &[PathBuf] {
        let pid = holder.process.pid;
        self.open.entry(pid).or_insert_with(|| {
            let all = PathBuf::from(format!("/proc/{pid}/fd"));
            let fds = fs::read_dir(&all).into_iter().flatten();
            let fds = fds.take(MOST_DESCRIPTORS).flatten();
            let fds = fds.map(|entry| entry.file_name());
            let fds = fds.filter(|fd| is_directory(pid, fd));
            fds.map(|fd| all.join(fd)).collect()
        })
    }

    fn scan(&mut self, directory: &Path) -> Scan {
        let mut scan = Scan {
            by_inode: HashMap::new(),
            is_whole: false,
        };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let is_gone =
                    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
                scan.is_whole = is_gone;
                return scan;
            }
        };
        let most = MOST_ENTRIES.min(self.left);
        for (count, entry) in entries.enumerate() {
            let Ok(entry) = entry else { return scan };
            if count == most {
                return scan;
            }
            self.left -= 1;
            if is_socket(&entry)
                && let Ok(stat) = lstat(entry.path())
            {
                scan.by_inode
                    .insert(stat.st_ino as u32, (entry.file_name(), stat));
            }
        }
        scan.is_whole = true;
        scan
    }
}

fn is_socket(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|found| found.is_socket())
}

/// The number and the rest of a name that leads through an fd of the process that has bound it.
pub(super) fn through_descriptor(name: &Path) -> Option<(&str, &Path)> {
    let rest = name
        .strip_prefix("/proc/self/fd")
        .or_else(|_| name.strip_prefix("/proc/thread-self/fd"))
        .ok()?;
    let mut parts = rest.components();
    match parts.next()? {
        Component::Normal(number) => Some((number.to_str()?, parts.as_path())),
        _ => None,
    }
}

/// Whether an fd was opened as a directory's (proc_pid_fdinfo(5)), without a look at the
/// file, whose file system may not answer.
fn is_directory(pid: i32, fd: &OsStr) -> bool {
    let path = PathBuf::from(format!("/proc/{pid}/fdinfo")).join(fd);
    let flags = fs::read_to_string(path).ok().and_then(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        u32::from_str_radix(flags.trim(), 8).ok()
    });
    flags.is_some_and(|flags| OFlags::from_bits_retain(flags).contains(OFlags::DIRECTORY))
}

/// The directory of a name, and the name in it.
pub(super) fn split(name: &[u8]) -> Option<(&Path, &OsStr)> {
    let path = Path::new(OsStr::from_bytes(name));
    Some((path.parent()?, path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_through_a_descriptor() {
        let parts = |name| through_descriptor(Path::new(name));
        let rest = Path::new("a.sock");
        assert_eq!(parts("/proc/self/fd/5/a.sock"), Some(("5", rest)));
        assert_eq!(parts("/proc/thread-self/fd/17/a.sock"), Some(("17", rest)));
        assert_eq!(parts("/proc/self/fd"), None);
        assert_eq!(parts("/proc/7/fd/5/a.sock"), None);
        assert_eq!(parts("/run/a.sock"), None);
    }
}
