//! Binds and listens: the socket appears at its address, never more open than asked.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, RenameFlags, fchmod, renameat_with};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, listen};

use super::access::{apply_mode_and_owner, mode_error};
use super::error::{ClaimError, ClaimErrorKind};
use super::place::{FileIdentity, Place, temporary_base};
use super::{ClaimOptions, bound};
use crate::address::{Address, Kind, MAX_NAME};

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
    let mode = Mode::from_raw_mode(options.mode & 0o700);
    fchmod(socket, mode).map_err(|errno| mode_error(address, options, errno))?;
    let denied = |errno| match errno {
        Errno::ADDRINUSE | Errno::EXIST => {
            ClaimError::new(address, ClaimErrorKind::InUse { pid: None }).with_source(errno)
        }
        errno => place.cannot_bind(address, errno),
    };
    match bind_in(socket, place).map_err(denied)? {
        None => {
            let bound = bound::file(address, place, socket, &place.base)?;
            *file = Some(bound);
            apply_mode_and_owner(address, options, place, &place.base, bound)?;
        }
        Some(base) => {
            let bound = bound::file(address, place, socket, &base)?;
            let applied =
                apply_mode_and_owner(address, options, place, &base, bound).and_then(|()| {
                    let (from, to) = (&place.directory, &place.base);
                    renameat_with(from, &base, from, to, RenameFlags::NOREPLACE).map_err(denied)
                });
            if let Err(error) = applied {
                let _ = place.unlink(&base, bound);
                return Err(error);
            }
            *file = Some(bound);
        }
    }
    if address.kind() != Kind::Datagram {
        listen(socket, options.backlog).map_err(io)?;
    }
    Ok(())
}

/// Binds to the path itself. Where that fits no socket address, through the directory's fd,
/// so that at least the last part of the name is right; and where that is too long as well, under a
/// short name in the same directory, which is returned.
fn bind_in(socket: &OwnedFd, place: &Place) -> Result<Option<OsString>, Errno> {
    let through = place.through_descriptor(&place.base);
    let name = place.bindable.as_deref().unwrap_or(&through);
    if name.as_os_str().len() > MAX_NAME {
        return bind_temporary(socket, place).map(Some);
    }
    bind_as(socket, name, place, &place.base)?;
    Ok(None)
}

/// Binds to `name`, which leads to `base` in that directory.
fn bind_as(socket: &OwnedFd, name: &Path, place: &Place, base: &OsStr) -> Result<(), Errno> {
    bind(socket, &SocketAddrUnix::new(name)?).inspect_err(|&errno| {
        if place.is_without_sockets(errno) {
            place.remove_failed(base);
        }
    })
}

fn bind_temporary(socket: &OwnedFd, place: &Place) -> Result<OsString, Errno> {
    let mut attempt = 0;
    loop {
        let base = temporary_base(attempt);
        match bind_as(socket, &place.through_descriptor(&base), place, &base) {
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
    socket: &OwnedFd,
) -> Result<(), ClaimError> {
    let io = |errno: Errno| ClaimError::io(address, errno);
    let bound = SocketAddrUnix::new_abstract_name(name).map_err(io)?;
    bind(socket, &bound).map_err(|errno| match errno {
        Errno::ADDRINUSE => {
            let pid = match super::probe::abstract_name(address.kind(), name) {
                super::Probe::Live { pid } => pid,
                _ => None,
            };
            ClaimError::new(address, ClaimErrorKind::InUse { pid }).with_source(errno)
        }
        errno => io(errno),
    })?;
    if address.kind() != Kind::Datagram {
        listen(socket, options.backlog).map_err(io)?;
    }
    Ok(())
}
