//! The lock file beside a socket: who holds its flock(2) owns the path.

use std::os::fd::OwnedFd;

use rustix::fs::{
    FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fremovexattr, fstat, openat,
};
#[cfg(feature = "tokio")]
use rustix::fs::{Gid, Uid, fchown};
use rustix::io::Errno;

use super::access::ACCESS_LIST;
use super::error::{ClaimError, ClaimErrorKind};
use super::place::{FileIdentity, Place, is_own};
use crate::address::Address;
use crate::ids;
use crate::inspect::procfs;

/// How many times a lock file that was removed meanwhile is opened again. In each round another owner
/// has come and gone.
const ATTEMPTS: usize = 64;

/// systemd-tmpfiles(8) leaves files with the sticky bit where they are, however old.
const LOCK_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::SVTX);

/// The lock of a path, held until it is dropped.
pub(super) struct Lock {
    /// The lock lasts as long as this open file, here or in another process.
    file: OwnedFd,
    identity: FileIdentity,
    /// Whether the file looks like one that we make. Another one serves as well, and is left unchanged.
    is_ours: bool,
}

impl Lock {
    /// `is_new` for a file that we have just made: not every file system shows it as ours.
    fn new(file: OwnedFd, found: &Stat, is_new: bool) -> Self {
        // Left behind by a server that was killed, or handed over by one, maybe of another user: nobody
        // else gives an empty file this mode. Or just made.
        let is_of_a_server = found.st_mode & 0o7777 == LOCK_MODE.as_raw_mode();
        let is_ours = is_new || found.st_nlink == 1 && (is_of_a_server || is_own(&file, found));
        Self {
            file,
            identity: FileIdentity::of(found),
            is_ours,
        }
    }

    /// The lock of another process that has passed on its fd; `None` where that is not the
    /// lock of this place, or is not held through it.
    #[cfg(feature = "tokio")]
    pub(super) fn inherit(file: OwnedFd, place: &Place) -> Result<Option<Self>, Errno> {
        // Of the same open file, so it is no new lock; where that has none yet, it is ours.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let found = fstat(&file)?;
        let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let lock = Self::new(file, &found, false);
        Ok((is_regular && found.st_size == 0 && lock.is_current(place)?).then_some(lock))
    }

    #[cfg(feature = "tokio")]
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Whether the locked file still has the name. The owner before us removes it while holding the
    /// lock; then we have locked a file that nobody else will ever open.
    pub(super) fn is_current(&self, place: &Place) -> Result<bool, Errno> {
        let now = place.look_at(&place.lock_base)?;
        Ok(now.is_some_and(|now| FileIdentity::of(&now) == self.identity))
    }

    /// Gives the lock file its mode: the umask may have taken something away, it may have been made
    /// by hand or by an older version, and have an access list from its directory. Where that fails
    /// it is a lock all the same.
    pub(super) fn settle(&self) {
        if !self.is_ours {
            return;
        }
        let mode = fstat(&self.file).map(|found| Mode::from_raw_mode(found.st_mode));
        if mode != Ok(LOCK_MODE) {
            let _ = fchmod(&self.file, LOCK_MODE);
        }
        let _ = fremovexattr(&self.file, ACCESS_LIST);
    }

    /// Makes a lock file our own that another user's server has passed on to us.
    #[cfg(feature = "tokio")]
    pub(super) fn settle_owner(&mut self, group: Option<u32>) {
        let (Ok(found), Some(uid)) = (fstat(&self.file), ids::own_uid()) else {
            return;
        };
        // With another name it may hold data.
        if is_own(&self.file, &found) || found.st_nlink != 1 {
            return;
        }
        let group = group.map(Gid::from_raw);
        if fchown(&self.file, Some(Uid::from_raw(uid)), group).is_ok() {
            self.is_ours = true;
            self.settle();
        }
    }

    /// Removes the lock file. Before its fd closes, so that whoever locks that file next
    /// sees that it has gone and makes a new one.
    pub(super) fn remove(&self, place: &Place) {
        if self.is_ours {
            // If that fails, the next owner uses the file.
            let _ = place.unlink(&place.lock_base, self.identity);
        }
    }
}

/// Takes the lock without waiting.
pub(super) fn take(address: &Address, place: &Place) -> Result<Lock, ClaimError> {
    for _ in 0..ATTEMPTS {
        let (file, is_new) = match open(place) {
            Ok(opened) => opened,
            Err(Errno::EXIST) => continue,
            Err(Errno::LOOP) => return Err(foreign(address, FileType::Symlink)),
            Err(Errno::ISDIR) => return Err(foreign(address, FileType::Directory)),
            Err(Errno::NXIO) => return Err(foreign(address, FileType::Socket)),
            Err(errno) => return Err(denied(address, place, errno)),
        };
        let found = fstat(&file).map_err(|errno| ClaimError::io(address, errno))?;
        // Our lock files are empty. Any other file may be data.
        let file_type = FileType::from_raw_mode(found.st_mode);
        if file_type != FileType::RegularFile || found.st_size != 0 {
            return Err(foreign(address, file_type));
        }
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(ClaimError::new(
                    address,
                    ClaimErrorKind::Locked { pid: None },
                ));
            }
            Err(errno) => {
                if is_new {
                    Lock::new(file, &found, true).remove(place);
                }
                return Err(ClaimError::io(address, errno));
            }
        }
        let lock = Lock::new(file, &found, is_new);
        if lock
            .is_current(place)
            .map_err(|errno| ClaimError::io(address, errno))?
        {
            lock.settle();
            return Ok(lock);
        }
    }
    Err(ClaimError::new(
        address,
        ClaimErrorKind::Locked { pid: None },
    ))
}

/// Who holds the lock. Costly: the kernel blocks all locking while it writes the list, and on a busy
/// machine takes seconds before it does.
pub(super) fn held(place: &Place) -> ClaimErrorKind {
    let file = place.look_at(&place.lock_base).ok().flatten();
    let pid = file.as_ref().and_then(procfs::lock_holder);
    ClaimErrorKind::Locked { pid }
}

/// Opens what is there before making one: `fs.protected_regular` denies `O_CREAT` on another
/// user's file in a sticky directory even to root. Returns whether it was made.
fn open(place: &Place) -> Result<(OwnedFd, bool), Errno> {
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    match openat(&place.directory, &place.lock_base, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return Ok((other?, false)),
    }
    let flags = flags | OFlags::CREATE | OFlags::EXCL;
    let file = openat(&place.directory, &place.lock_base, flags, LOCK_MODE)?;
    Ok((file, true))
}

fn denied(address: &Address, place: &Place, errno: Errno) -> ClaimError {
    match place.look_at(&place.lock_base) {
        Ok(Some(found)) if errno == Errno::ACCESS => {
            let owner = ids::uid(found.st_uid);
            ClaimError::new(address, ClaimErrorKind::LockDenied { owner }).with_source(errno)
        }
        // Removed since it was opened.
        _ if place.is_removed() => {
            let kind = ClaimErrorKind::ParentRemoved(address.directory());
            ClaimError::new(address, kind).with_source(errno)
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
        let (file, _) = open(&place).unwrap();
        let found = fstat(&file).unwrap();
        let opened = Lock::new(file, &found, true);
        assert!(opened.is_current(&place).unwrap());
        // As the owner before us may, between our open and our flock.
        opened.remove(&place);
        assert!(!opened.is_current(&place).unwrap());
        let lock = take(&address, &place).unwrap();
        assert_ne!(lock.identity, opened.identity);
        assert!(lock.is_current(&place).unwrap());
    }
}
