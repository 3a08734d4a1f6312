//! [`TapNames`]: the names that a tap uses in the directory of a socket.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, RenameFlags, Stat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use crate::claim::{FileIdentity, Place, displaced_base, tap_lock_base};

/// Names that need no memory when they are used: the guardian is a copy of this process.
#[derive(Debug)]
pub(super) struct TapNames {
    pub(super) directory: OwnedFd,
    /// Of the socket.
    pub(super) path: CString,
    /// Of the server's socket while a tap stands in front of it.
    pub(super) displaced: CString,
    /// Of the lock and state file.
    pub(super) lock: CString,
}

impl TapNames {
    pub(super) fn of(place: &Place) -> Result<Self, Errno> {
        let name = |base: &OsStr| CString::new(base.as_bytes()).map_err(|_| Errno::INVAL);
        Ok(Self {
            directory: rustix::io::fcntl_dupfd_cloexec(&place.directory, 3)?,
            path: name(&place.base)?,
            displaced: name(&displaced_base(&place.base))?,
            lock: name(&tap_lock_base(&place.base))?,
        })
    }

    /// The file of that name, without following a symbolic link; `None` where there is none.
    pub(super) fn look_at(&self, name: &CString) -> Result<Option<Stat>, Errno> {
        match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn identity(&self, name: &CString) -> Result<Option<FileIdentity>, Errno> {
        Ok(self.look_at(name)?.as_ref().map(FileIdentity::of))
    }

    /// Swaps the files of the path and of the displaced name (renameat2(2)): there is no instant without
    /// a file at either.
    pub(super) fn exchange(&self) -> Result<(), Errno> {
        let (directory, flags) = (&self.directory, RenameFlags::EXCHANGE);
        renameat_with(directory, &self.path, directory, &self.displaced, flags)
    }

    /// Gives the file of the displaced name that of the path, where no file is.
    pub(super) fn put_back(&self) -> Result<(), Errno> {
        let (directory, flags) = (&self.directory, RenameFlags::NOREPLACE);
        renameat_with(directory, &self.displaced, directory, &self.path, flags)
    }

    pub(super) fn unlink(&self, name: &CString) -> Result<(), Errno> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            unlinked => unlinked,
        }
    }
}
