//! [`UnclearReason`]: why a socket file at which connect(2) is refused may not be stale.
//!
//! The kernel binds a socket to an inode. overlayfs, FUSE and network file systems show one file
//! under several inodes, and a server is reached through its own only.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::fs::Stat;
use rustix::process::Pid;

use super::times;
use crate::ids;
use crate::inspect::ForkedWorker;
use crate::inspect::diag::{DiagEntry, FileId};
use crate::inspect::lookup::Lookup;
use crate::inspect::mounts::{FsClass, Mounts, class_for, is_mount_root};

/// Why a socket file at which connect(2) is refused may belong to a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnclearReason {
    /// An open socket is bound to a file of the same name, and one of the two files is on a file
    /// system that shows files of others (overlayfs, FUSE): the two may be one file.
    Namesake {
        /// The socket's process, where it may be known.
        pid: Option<Pid>,
        /// The user who made the socket (Linux 5.3).
        uid: Option<u32>,
        /// The name of that file system.
        file_system: &'static str,
    },
    /// A layer below overlayfs was changed while it is mounted: it shows a file that was removed
    /// there, and not the one that a server may have there now.
    LayerChanged,
    /// Other machines use this file system too, and the socket may be one of theirs.
    OtherMachine {
        /// The name of the file system.
        file_system: &'static str,
    },
}

impl fmt::Display for UnclearReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namesake {
                pid,
                uid,
                file_system,
            } => {
                match (pid, uid) {
                    (Some(pid), _) => write!(f, "pid {}", pid.as_raw_pid())?,
                    (None, Some(uid)) => write!(f, "a process of uid {uid}")?,
                    (None, None) => f.write_str("some process")?,
                }
                write!(
                    f,
                    " has an open socket of the same file name, and {file_system} may show its file here a second time"
                )
            }
            Self::LayerChanged => f.write_str(
                "the layer below overlayfs was changed while it is mounted, and what it shows here was removed there",
            ),
            Self::OtherMachine { file_system } => write!(
                f,
                "the file is on {file_system}, where a server of another machine may use it"
            ),
        }
    }
}

/// A socket file that was found, and what to look up.
pub(super) struct ProbedFile<'a> {
    pub(super) file: &'a OwnedFd,
    pub(super) stat: &'a Stat,
    pub(super) base: &'a OsStr,
    /// Its path, for use where there is no /proc.
    pub(super) name: Option<&'a Path>,
    pub(super) lookup: &'a Lookup,
}

impl ProbedFile<'_> {
    /// Why it may be an open socket's file though connect(2) is refused; `None` where it is stale.
    pub(super) fn unclear_reason(&self) -> Option<UnclearReason> {
        let class = self.lookup.mounts.class_at(self.file);
        if let FsClass::Shared(file_system) = class {
            return Some(UnclearReason::OtherMachine { file_system });
        }
        if class == FsClass::Overlay && self.stat.st_nlink == 0 && !is_mount_root(self.file) {
            return Some(UnclearReason::LayerChanged);
        }
        let here = self.lookup.here().unwrap_or_default();
        let all = here.iter().chain(self.lookup.everywhere());
        let mut namesakes = all.filter(|entry| entry.is_reachable() && entry.is_named(self.base));
        namesakes.find_map(|entry| {
            let view = self.may_be_seen(class, entry)?;
            let pid = self.lookup.holder(entry.inode);
            // Where nobody has it, its process may have ended.
            (pid.is_some() || !Lookup::is_gone(entry.inode)).then(|| UnclearReason::Namesake {
                pid,
                uid: entry.uid,
                file_system: view.name(),
            })
        })
    }

    /// The file system through which the file of `entry` and this one may be one.
    fn may_be_seen(&self, ours: FsClass, entry: &DiagEntry) -> Option<FsClass> {
        let id = entry.file?;
        if self.is_strangers(entry) {
            return None;
        }
        let theirs = self.class_of(entry, id);
        let view = match (ours, theirs) {
            (FsClass::Own, Some(FsClass::Own)) => return None,
            (FsClass::Own, theirs) => theirs.unwrap_or(FsClass::View("another mount namespace")),
            (ours, _) => ours,
        };
        let keeps_numbers = |class| matches!(class, FsClass::Own | FsClass::Overlay);
        let number = self.stat.st_ino as u32;
        // What cannot be asked is in another mount namespace. It counts as one that keeps numbers:
        // else a namesake in any other container would block a restart.
        if keeps_numbers(ours) && theirs.is_none_or(keeps_numbers) && number != id.inode {
            return None;
        }
        let look = file_of(entry, id, self.lookup)?;
        // By its name in this process, since a copy of it has none of the fds.
        let Ok(process) = std::fs::read_link("/proc/self") else {
            return Some(view);
        };
        let number = self.file.as_raw_fd().to_string();
        let ours = Path::new("/proc").join(process).join("fd").join(number);
        let is_another = move || {
            let ours = times::open(&ours);
            ours.is_some_and(|ours| look().is_some_and(|theirs| times::prove_two(&ours, &theirs)))
        };
        let started = Instant::now();
        match until(started + self.lookup.patience(), is_another) {
            Some(true) => None,
            Some(false) => Some(view),
            None => {
                self.lookup.has_waited(started.elapsed());
                Some(view)
            }
        }
    }

    /// Whether somebody made the socket who has nothing to do with this file. Anybody may bind any
    /// name, and must not keep others from theirs.
    fn is_strangers(&self, entry: &DiagEntry) -> bool {
        let ours = [Some(0), ids::uid(self.stat.st_uid), ids::own_uid()];
        match entry.uid {
            Some(_) => !ours.contains(&entry.uid),
            // Somebody outside of our user namespace, or anybody on an old kernel.
            None => !ours.contains(&None) && !ids::all_users_are_mapped(),
        }
    }

    /// The class of the file system that the file of a socket is on, if it is mounted here or where
    /// its process is.
    fn class_of(&self, entry: &DiagEntry, id: FileId) -> Option<FsClass> {
        let here = self.lookup.mounts.class_of(id.device);
        let mut pids = self.lookup.pids(entry.inode);
        here.or_else(|| pids.find_map(|pid| class_for(pid, id.device)))
    }
}

/// Opens the file that a socket is bound to, by its name where its process is.
fn file_of(
    entry: &DiagEntry,
    id: FileId,
    lookup: &Lookup,
) -> Option<impl FnOnce() -> Option<OwnedFd> + Send + 'static> {
    let name = PathBuf::from(OsStr::from_bytes(entry.name.as_deref()?));
    let there = |pid| match (name.strip_prefix("/proc/self"), name.is_absolute()) {
        // Its server knows it by an fd of the directory.
        (Ok(rest), _) => PathBuf::from(format!("/proc/{pid}")).join(rest),
        (_, true) => {
            let mut path = OsString::from(format!("/proc/{pid}/root"));
            path.push(&name);
            PathBuf::from(path)
        }
        (_, false) => PathBuf::from(format!("/proc/{pid}/cwd")).join(&name),
    };
    let mut paths: Vec<PathBuf> = lookup.pids(entry.inode).map(there).collect();
    if name.is_absolute() {
        paths.push(name);
    }
    Some(move || {
        let mounts = Mounts::default();
        let mut paths = paths.into_iter();
        paths.find_map(|path| {
            let file = times::open(&path)?;
            let stat = rustix::fs::fstat(&file).ok()?;
            id.is_at(&path, &stat, &mounts).then_some(file)
        })
    })
}

/// The result of `look`, which runs in a thread or a process of its own; `None` at the deadline.
///
/// A thread that hangs in a file system can keep its process from ending, so a process of one thread
/// is copied instead ([`ForkedWorker`]); one of several threads is not, whose fds a copy would hold
/// open for a moment.
fn until(deadline: Instant, look: impl FnOnce() -> bool + Send + 'static) -> Option<bool> {
    let left = deadline.checked_duration_since(Instant::now())?;
    if has_one_thread() {
        let mut worker = ForkedWorker::start(|results| results.send(&[u8::from(look())])).ok()?;
        return Some(worker.next(deadline).ok()?? == [1]);
    }
    let (tell, told) = mpsc::sync_channel(1);
    let work = move || {
        // Nobody may wait any more.
        let _ = tell.send(look());
    };
    thread::Builder::new().spawn(work).ok()?;
    told.recv_timeout(left).ok()
}

/// The directory has a link for each thread, beside the usual two.
fn has_one_thread() -> bool {
    rustix::fs::stat("/proc/self/task").is_ok_and(|found| found.st_nlink == 3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_look_that_hangs_is_left_alone() {
        let (_hold, held) = mpsc::channel::<()>();
        let deadline = Instant::now() + Duration::from_millis(10);
        assert_eq!(until(deadline, move || held.recv().is_err()), None);
        assert_eq!(until(deadline, || true), None, "no time is left");
        let deadline = Instant::now() + Lookup::PATIENCE;
        assert_eq!(until(deadline, || true), Some(true));
    }
}
