//! Making the socket appear at its address, never more open than asked.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, RenameFlags, Stat, fchmod, fstat, openat, renameat_with};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, listen};

use super::ClaimOptions;
use super::access::settle;
use super::error::{ClaimError, ClaimErrorKind};
use super::place::{self, FileIdentity, Place, temporary_base};
use crate::address::{Address, Kind};
use crate::ids;

/// Binds `socket` to the claimed path, which is free, gives its file the exact mode and owner, and
/// listens. From the moment that the file exists it is in `file`, so that its owner removes it after
/// an error on the way.
pub(super) fn path(
    address: &Address,
    options: &ClaimOptions,
    socket: &OwnedFd,
    place: &Place,
    file: &mut Option<FileIdentity>,
) -> Result<(), ClaimError> {
    let io = |errno: Errno| ClaimError::io(address, errno);
    // The file is made with this mode less the umask: nobody's but ours at first. The group's bits
    // would be the mask of an access list that the directory hands down, and before a change of
    // owner the wrong group's. A datagram socket is live from bind on.
    fchmod(socket, Mode::from_raw_mode(options.mode & 0o700)).map_err(io)?;
    let denied = |errno| match errno {
        Errno::ADDRINUSE | Errno::EXIST => {
            ClaimError::new(address, ClaimErrorKind::InUse { pid: None }).because(errno)
        }
        errno => place.denies(address, errno),
    };
    if let Some(name) = &place.bindable {
        let name = SocketAddrUnix::new(name.as_path()).map_err(io)?;
        bind(socket, &name).map_err(denied)?;
        let bound = bound_file(address, place, &place.base)?;
        *file = Some(bound);
        settle(address, options, place, &place.base, bound)?;
    } else {
        let base = bind_temporary(socket, place).map_err(denied)?;
        let bound = bound_file(address, place, &base)?;
        let settled = settle(address, options, place, &base, bound).and_then(|()| {
            let (from, to) = (&place.directory, &place.base);
            renameat_with(from, &base, from, to, RenameFlags::NOREPLACE).map_err(denied)
        });
        if let Err(error) = settled {
            let _ = place.unlink(&base, bound);
            return Err(error);
        }
        *file = Some(bound);
    }
    if address.kind() != Kind::Datagram {
        listen(socket, options.backlog).map_err(io)?;
    }
    Ok(())
}

/// The file that bind has just made, unless somebody has replaced it already. Looked up without a
/// descriptor, of which there may be none left.
fn bound_file(address: &Address, place: &Place, base: &OsStr) -> Result<FileIdentity, ClaimError> {
    match place.look_at(base) {
        Ok(Some(stat))
            if FileType::from_raw_mode(stat.st_mode) == FileType::Socket
                && is_own(place, base, &stat) =>
        {
            Ok(FileIdentity::of(&stat))
        }
        Ok(_) => {
            let kind = ClaimErrorKind::InUse { pid: None };
            Err(ClaimError::new(address, kind))
        }
        Err(errno) => Err(ClaimError::io(address, errno)),
    }
}

/// As [`place::is_own`]; opens the file only where that takes it.
fn is_own(place: &Place, base: &OsStr, stat: &Stat) -> bool {
    if let (Some(owner), own) = (ids::uid(stat.st_uid), ids::own_uid()) {
        return Some(owner) == own;
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&place.directory, base, flags, Mode::empty()).is_ok_and(|file| {
        let is_same =
            fstat(&file).is_ok_and(|now| FileIdentity::of(&now) == FileIdentity::of(stat));
        is_same && place::is_own(&file, stat)
    })
}

/// Binds under a short name in the same directory, for a path that fits no socket address.
fn bind_temporary(socket: &OwnedFd, place: &Place) -> Result<std::ffi::OsString, Errno> {
    let mut attempt = 0;
    loop {
        let base = temporary_base(attempt);
        let name = SocketAddrUnix::new(place.through_descriptor(&base))?;
        match bind(socket, &name) {
            Ok(()) => return Ok(base),
            Err(Errno::ADDRINUSE) if attempt < 100 => attempt += 1,
            Err(errno) => return Err(errno),
        }
    }
}

/// Binds an abstract name; the kernel lets only one socket have it.
pub(super) fn abstract_name(
    address: &Address,
    options: &ClaimOptions,
    name: &[u8],
) -> Result<OwnedFd, ClaimError> {
    let io = |errno: Errno| ClaimError::io(address, errno);
    let socket = options.socket(address.kind()).map_err(io)?;
    let bound = SocketAddrUnix::new_abstract_name(name).map_err(io)?;
    bind(&socket, &bound).map_err(|errno| match errno {
        Errno::ADDRINUSE => {
            let pid = match super::probe::abstract_name(address.kind(), name) {
                super::Probe::Live { pid } => pid,
                _ => None,
            };
            ClaimError::new(address, ClaimErrorKind::InUse { pid }).because(errno)
        }
        errno => io(errno),
    })?;
    if address.kind() != Kind::Datagram {
        listen(&socket, options.backlog).map_err(io)?;
    }
    Ok(socket)
}
