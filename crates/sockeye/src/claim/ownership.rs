//! [`Ownership`]: what a claim holds, and gives back when it ends.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;

use super::ClaimOptions;
use super::lock::Lock;
use super::place::{FileIdentity, Place};
use crate::address::Address;

/// A path of ours: the lock that says so and the file that we bound.
pub(crate) struct Ownership {
    /// What was claimed, and how.
    pub(super) address: Address,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(super) options: ClaimOptions,
    pub(super) place: Place,
    pub(super) lock: Lock,
    pub(super) file: Option<FileIdentity>,
    pub(super) control: Option<Control>,
    /// Not while another process that has all of it, too, may be the owner.
    pub(super) is_ours: bool,
}

/// The socket at which a successor may ask, and its file.
pub(super) struct Control {
    pub(super) place: Place,
    pub(super) file: Option<FileIdentity>,
    pub(super) socket: OwnedFd,
}

impl Ownership {
    #[cfg(feature = "tokio")]
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// As [`super::Claim::unsafe_parent`].
    pub(crate) fn unsafe_parent(&self) -> Option<PathBuf> {
        let (mode, _) = self.place.directory_mode().ok()?;
        (mode & 0o1002 == 0o002).then(|| self.place.parent.clone())
    }

    /// Removes the socket files; the lock stays ours. The sockets must still be open: once one is
    /// closed its inode number may belong to a successor's file.
    pub(crate) fn unlink(&mut self) -> Result<(), Errno> {
        if !self.is_ours {
            return Ok(());
        }
        let remove = |place: &Place, file: &mut Option<FileIdentity>| match file.take() {
            Some(file) => place.unlink_bound(file),
            None => Ok(()),
        };
        // This one last: without it, a successor takes the server for one that hands nothing over.
        let removed = remove(&self.place, &mut self.file);
        match &mut self.control {
            Some(control) => removed.and(remove(&control.place, &mut control.file)),
            None => removed,
        }
    }
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ownership");
        shown
            .field("base", &self.place.base)
            .finish_non_exhaustive()
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        // A failure cannot be reported here (a file system that was remounted read-only); it leaves a
        // stale file, which the next server replaces.
        let _ = self.unlink();
        self.lock.remove(&self.place);
    }
}
