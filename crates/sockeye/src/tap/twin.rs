//! [`TwinFiles`]: the mode, the owner and the access list of both socket files, kept equal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use crate::address::Address;
use crate::claim::{ClaimError, FileAccess};

/// When each of the two files was changed last: the tap's and the server's. What is done to the path while the tap
/// stands there (chmod, chown, setfacl) is meant for the server's file, and the other way round.
pub(super) struct TwinFiles {
    seen: [ChangeTime; 2],
}

type ChangeTime = (i64, i64);

impl TwinFiles {
    /// To be called once both files have their names.
    pub(super) fn new(tap: &OwnedFd, original: &OwnedFd) -> Result<Self, Errno> {
        let seen = [changed(tap)?, changed(original)?];
        Ok(Self { seen })
    }

    /// Gives one file what has been changed at the other one. Where that fails it is attempted again at
    /// the next change.
    pub(super) fn keep_equal(&mut self, address: &Address, tap: &OwnedFd, original: &OwnedFd) {
        let (Ok(tap_now), Ok(server_now)) = (changed(tap), changed(original)) else {
            return;
        };
        let [tap_before, server_before] = self.seen;
        if server_now != server_before {
            let _ = copy_access(address, original, tap);
        } else if tap_now != tap_before {
            let _ = copy_access(address, tap, original);
        } else {
            return;
        }
        if let (Ok(tap_now), Ok(server_now)) = (changed(tap), changed(original)) {
            self.seen = [tap_now, server_now];
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
