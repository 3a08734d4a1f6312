//! The lock file beside a socket: who holds its flock(2) owns the path.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, fchmod, flock, fstat, openat};
use rustix::io::Errno;

use super::error::{ClaimError, ClaimErrorKind};
use super::place::{FileIdentity, Place, parent_of};
use crate::address::Address;
use crate::inspect::procfs;

/// How often a lock file that was removed under us is opened anew. Each round another owner has
/// come and gone, so this is a bound and not a wait.
const ATTEMPTS: usize = 64;

const LOCK_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The lock of a path, held until it is dropped.
pub(super) struct Lock {
    // The lock lasts as long as this is open.
    _file: OwnedFd,
    identity: FileIdentity,
    /// Whether the file looks like one that we make. Another one serves as well, but is left as it
    /// is.
    is_ours: bool,
}

impl Lock {
    /// Removes the lock file. Before its descriptor closes, so that whoever locks that file next
    /// sees that it has gone and makes a new one.
    pub(super) fn remove(&self, place: &Place) {
        if self.is_ours {
            // If that fails, the file is there for the next owner.
            let _ = place.unlink(&place.lock_base, self.identity);
        }
    }
}

/// Takes the lock without waiting.
pub(super) fn take(address: &Address, place: &Place) -> Result<Lock, ClaimError> {
    for _ in 0..ATTEMPTS {
        let file = match open(place) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(Errno::LOOP) => return Err(foreign(address, FileType::Symlink)),
            Err(Errno::ISDIR) => return Err(foreign(address, FileType::Directory)),
            Err(Errno::NXIO) => return Err(foreign(address, FileType::Socket)),
            Err(errno) => return Err(denied(address, place, errno)),
        };
        let found = fstat(&file).map_err(|errno| ClaimError::io(address, errno))?;
        // Our lock files are empty. Anything else is somebody's data.
        let file_type = FileType::from_raw_mode(found.st_mode);
        if file_type != FileType::RegularFile || found.st_size != 0 {
            return Err(foreign(address, file_type));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let pid = procfs::lock_holder(&found);
                return Err(ClaimError::new(address, ClaimErrorKind::Locked { pid }));
            }
            Err(errno) => return Err(ClaimError::io(address, errno)),
        }
        let identity = FileIdentity::of(&found);
        if is_current(place, identity).map_err(|errno| ClaimError::io(address, errno))? {
            // Left behind by a server of this user that was killed, or just made.
            let is_ours =
                found.st_nlink == 1 && found.st_uid == rustix::process::geteuid().as_raw();
            if is_ours && found.st_mode & 0o777 != 0o600 {
                // The umask has taken something away, or it was made by hand.
                fchmod(&file, LOCK_MODE).map_err(|errno| ClaimError::io(address, errno))?;
            }
            return Ok(Lock {
                identity,
                is_ours,
                _file: file,
            });
        }
    }
    Err(ClaimError::new(
        address,
        ClaimErrorKind::Locked { pid: None },
    ))
}

/// Whether the locked file still has the name. The owner before us removes it while holding the
/// lock; then we have locked a file that nobody else will ever open.
fn is_current(place: &Place, locked: FileIdentity) -> Result<bool, Errno> {
    let now = place.look_at(&place.lock_base)?;
    Ok(now.is_some_and(|now| FileIdentity::of(&now) == locked))
}

/// Opens what is there before making one: `fs.protected_regular` denies `O_CREAT` on another
/// user's file in a sticky directory even to root.
fn open(place: &Place) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    match openat(&place.directory, &place.lock_base, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let flags = flags | OFlags::CREATE | OFlags::EXCL;
    openat(&place.directory, &place.lock_base, flags, LOCK_MODE)
}

fn denied(address: &Address, place: &Place, errno: Errno) -> ClaimError {
    match place.look_at(&place.lock_base) {
        Ok(Some(found)) if errno == Errno::ACCESS => {
            let owner = found.st_uid;
            ClaimError::new(address, ClaimErrorKind::LockDenied { owner }).because(errno)
        }
        // Removed since it was opened.
        _ if place.is_removed() => {
            let kind = ClaimErrorKind::ParentMissing(parent_of(address));
            ClaimError::new(address, kind).because(errno)
        }
        _ => place.denies(address, errno),
    }
}

fn foreign(address: &Address, file: FileType) -> ClaimError {
    ClaimError::new(address, ClaimErrorKind::ForeignLockFile(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_was_removed_in_between_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address::from_path(dir.path().join("s")).unwrap();
        let place = Place::open(&address, address.path().unwrap()).unwrap();
        let file = open(&place).unwrap();
        let opened = FileIdentity::of(&fstat(&file).unwrap());
        assert!(is_current(&place, opened).unwrap());
        // As the owner before us does, between our open and our flock.
        place.unlink(&place.lock_base, opened).unwrap();
        assert!(!is_current(&place, opened).unwrap());
        let lock = take(&address, &place).unwrap();
        assert_ne!(lock.identity, opened);
        assert!(is_current(&place, lock.identity).unwrap());
    }
}
