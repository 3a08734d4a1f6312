//! [`TwinFiles`]: the mode, the owner and the access list of both socket files, kept equal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use crate::address::Address;
use crate::claim::{ClaimError, FileAccess};

/// The tap's socket file, and when either file was changed last. What is done to the path while the tap
/// stands there (chmod, chown, setfacl) is meant for the server's file, and the other way round.
pub(super) struct TwinFiles {
    tap: OwnedFd,
    seen: [ChangeTime; 2],
}

type ChangeTime = (i64, i64);

impl TwinFiles {
    /// To be called once both files have their names.
    pub(super) fn new(tap: OwnedFd, original: &OwnedFd) -> Result<Self, Errno> {
        let seen = [changed(&tap)?, changed(original)?];
        Ok(Self { tap, seen })
    }

    /// Gives one file what has been changed at the other one. Where that fails it is attempted again at
    /// the next change.
    pub(super) fn keep_equal(&mut self, address: &Address, original: &OwnedFd) {
        let (Ok(tap), Ok(server)) = (changed(&self.tap), changed(original)) else {
            return;
        };
        let [tap_before, server_before] = self.seen;
        if server != server_before {
            let _ = copy_access(address, original, &self.tap);
        } else if tap != tap_before {
            let _ = copy_access(address, &self.tap, original);
        } else {
            return;
        }
        if let (Ok(tap), Ok(server)) = (changed(&self.tap), changed(original)) {
            self.seen = [tap, server];
        }
    }
}

fn copy_access(address: &Address, from: &OwnedFd, to: &OwnedFd) -> Result<(), ClaimError> {
    let access = FileAccess::of(from).map_err(|errno| ClaimError::io(address, errno))?;
    access.apply(address, to)
}

/// The status change time (inode(7)).
fn changed(file: impl AsFd) -> Result<ChangeTime, Errno> {
    let stat: Stat = fstat(file)?;
    Ok((stat.st_ctime, stat.st_ctime_nsec as i64))
}
