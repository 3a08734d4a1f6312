//! Who may connect: owner, mode and access control list of a socket file.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chmod, chownat, fstat, getxattr, openat, removexattr,
};
use rustix::io::Errno;

use super::ClaimOptions;
use super::error::{ClaimError, ClaimErrorKind};
use super::place::{FileIdentity, Place, is_own};
use crate::address::Address;
use crate::{ids, socket};

/// acl(5): what a file inherits from the default list of its directory, beside its mode.
pub(super) const ACCESS_LIST: &str = "system.posix_acl_access";

/// Gives the file of a socket exactly the owner and the mode that were asked for, through an
/// fd of the file itself: by name, whoever may write the directory could put a link in its place. At
/// no instant may anybody connect whom neither the old nor the new mode allows.
pub(super) fn apply_mode_and_owner(
    address: &Address,
    options: &ClaimOptions,
    place: &Place,
    base: &OsStr,
    bound: FileIdentity,
) -> Result<(), ClaimError> {
    let io = |errno: Errno| ClaimError::io(address, errno);
    let fail = |kind| ClaimError::new(address, kind);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&place.directory, base, flags, Mode::empty()).map_err(io)?;
    let path = socket::path_of(&file);
    let mut stat = fstat(&file).map_err(io)?;
    if FileIdentity::of(&stat) != bound {
        return Err(fail(ClaimErrorKind::InUse { pid: None }));
    }
    let chmod = |mode| {
        chmod(&path, Mode::from_raw_mode(mode)).map_err(|errno| mode_error(address, options, errno))
    };
    let listed = |errno| fail(ClaimErrorKind::AccessList).with_source(errno);
    let (uid, gid) = (options.uid, options.gid);
    let differs = |asked: Option<u32>, found| asked.is_some() && asked != found;
    let changes_owner = differs(uid, ids::uid(stat.st_uid)) || differs(gid, ids::gid(stat.st_gid));
    let has_list = has_access_list(&file, options.mode).map_err(listed)?;
    if changes_owner || has_list {
        // The group's bits of a file with a list are the mask of the list, and without the list
        // they are the group's again. What a file that was taken over lets its old group do is not
        // meant for the new one.
        let for_both = if changes_owner { 0o700 } else { 0o777 };
        let at_first = stat.st_mode & options.mode & for_both;
        if stat.st_mode & 0o7777 != at_first {
            chmod(at_first)?;
        }
    }
    if has_list {
        removexattr(&path, ACCESS_LIST).map_err(listed)?;
    }
    let denied = || fail(ClaimErrorKind::OwnerDenied { uid, gid });
    if changes_owner {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        chownat(&file, "", uid, gid, AtFlags::EMPTY_PATH).map_err(|errno| match errno {
            Errno::PERM => denied().with_source(errno),
            errno => io(errno),
        })?;
        stat = fstat(&file).map_err(io)?;
    }
    if stat.st_mode & 0o7777 != options.mode {
        chmod(options.mode)?;
    }
    // Some file systems report success and change nothing.
    let now = fstat(&file).map_err(io)?;
    if differs(uid, Some(now.st_uid)) || differs(gid, Some(now.st_gid)) {
        return Err(denied());
    }
    if now.st_mode & 0o7777 != options.mode {
        let found = now.st_mode & 0o7777;
        return Err(fail(ClaimErrorKind::ModeRefused { found }));
    }
    if has_list && has_access_list(&file, options.mode).map_err(listed)? {
        return Err(fail(ClaimErrorKind::AccessList));
    }
    Ok(())
}

/// Why the mode could not be set: a filter of system calls, a security module and some file systems
/// refuse that even to the owner.
pub(super) fn mode_error(address: &Address, options: &ClaimOptions, errno: Errno) -> ClaimError {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            let mode = options.mode;
            ClaimError::new(address, ClaimErrorKind::ModeDenied { mode }).with_source(errno)
        }
        errno => ClaimError::io(address, errno),
    }
}

/// Write permission for us, the owner of a socket file; withdrawn when dropped. No other user gains
/// anything by it.
pub(super) struct OwnerAccess<'a> {
    file: &'a OwnedFd,
    before: Mode,
}

impl<'a> OwnerAccess<'a> {
    /// `None` where the file is another user's, or it is not its mode that denies.
    pub(super) fn to(file: &'a OwnedFd) -> Option<Self> {
        let stat = fstat(file).ok()?;
        let before = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if before.contains(Mode::WUSR) || !is_own(file, &stat) {
            return None;
        }
        chmod(socket::path_of(file), before | Mode::WUSR).ok()?;
        Some(Self { file, before })
    }
}

impl Drop for OwnerAccess<'_> {
    fn drop(&mut self) {
        // Not where somebody has changed the mode meanwhile.
        let now = fstat(self.file).map(|now| Mode::from_raw_mode(now.st_mode & 0o7777));
        if now == Ok(self.before | Mode::WUSR) {
            let _ = chmod(socket::path_of(self.file), self.before);
        }
    }
}

/// Whether a list may allow somebody whom the mode does not.
fn has_access_list(file: &OwnedFd, mode: u32) -> Result<bool, Errno> {
    match getxattr(socket::path_of(file), ACCESS_LIST, &mut [0; 0]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        // /proc is not mounted. The mask of a list is the group's bits.
        Err(Errno::NOENT) if mode & 0o070 == 0 && !Path::new("/proc/self").exists() => Ok(false),
        Err(errno) => Err(errno),
    }
}
