//! Binds and listens: the socket appears at its address, never more open than asked.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, RenameFlags, fchmod, renameat_with};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, listen};

use super::access::{FileAccess, mode_error};
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
    bind_with(
        &FileAccess::asked(options),
        address,
        socket,
        place,
        &place.base,
        file,
    )?;
    if address.kind() != Kind::Datagram {
        listen(socket, options.backlog).map_err(|errno| ClaimError::io(address, errno))?;
    }
    Ok(())
}

/// Binds `socket` to `base` in the directory of a path, where no file is, and gives its file the mode,
/// the owner and the access list of another one. It does not listen yet; a datagram socket receives.
/// After an error there is no file.
#[cfg(feature = "tokio")]
pub(crate) fn beside(
    address: &Address,
    place: &Place,
    base: &OsStr,
    socket: &OwnedFd,
    like: &FileAccess,
) -> Result<FileIdentity, ClaimError> {
    let mut file = None;
    let bound = bind_with(like, address, socket, place, base, &mut file);
    match (bound, file) {
        (Ok(()), Some(file)) => Ok(file),
        (bound, file) => {
            if let Some(file) = file {
                let _ = place.unlink(base, file);
            }
            let lost = || ClaimError::io(address, Errno::NOENT);
            Err(bound.err().unwrap_or_else(lost))
        }
    }
}

/// Binds to `base`, with a file that is never more open than `access` says. From the moment that the
/// file has that name it is in `file`.
fn bind_with(
    access: &FileAccess,
    address: &Address,
    socket: &OwnedFd,
    place: &Place,
    base: &OsStr,
    file: &mut Option<FileIdentity>,
) -> Result<(), ClaimError> {
    // The file is made with this mode less the umask: nobody's but ours at first. The group's bits
    // would be the mask of an access list that the directory hands down, and before a change of
    // owner the wrong group's. A datagram socket is live from bind on.
    let mode = Mode::from_raw_mode(access.mode & 0o700);
    fchmod(socket, mode).map_err(|errno| mode_error(address, access.mode, errno))?;
    let denied = |errno| match errno {
        Errno::ADDRINUSE | Errno::EXIST => {
            ClaimError::new(address, ClaimErrorKind::InUse { pid: None }).with_source(errno)
        }
        errno => place.cannot_bind(address, errno),
    };
    match bind_in(socket, place, base).map_err(denied)? {
        None => {
            let bound = bound::file(address, place, socket, base)?;
            *file = Some(bound);
            access.apply_at(address, place, base, bound)
        }
        Some(temporary) => {
            let bound = bound::file(address, place, socket, &temporary)?;
            let applied = access
                .apply_at(address, place, &temporary, bound)
                .and_then(|()| {
                    let directory = &place.directory;
                    let flags = RenameFlags::NOREPLACE;
                    renameat_with(directory, &temporary, directory, base, flags).map_err(denied)
                });
            match applied {
                Ok(()) => *file = Some(bound),
                Err(_) => drop(place.unlink(&temporary, bound)),
            }
            applied
        }
    }
}

/// Binds to the name itself. Where that fits no socket address, through the directory's fd,
/// so that at least the last part of the name is right; and where that is too long as well, under a
/// short name in the same directory, which is returned.
fn bind_in(socket: &OwnedFd, place: &Place, base: &OsStr) -> Result<Option<OsString>, Errno> {
    let name = place.bindable_as(base);
    let name = name.unwrap_or_else(|| place.through_descriptor(base));
    if name.as_os_str().len() > MAX_NAME {
        return bind_temporary(socket, place).map(Some);
    }
    bind_as(socket, &name, place, base)?;
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

#[cfg(test)]
#[cfg(feature = "tokio")]
mod tests {
    use std::path::PathBuf;

    use rustix::fs::{XattrFlags, setxattr};

    use super::*;
    use crate::claim::Claim;
    use crate::claim::access::ACCESS_LIST;
    use crate::claim::displaced::displaced_base;

    /// acl(5) as the kernel keeps it: user::rw, user:12345:rw, group::-, mask::rw, other::-.
    fn list_for_one_more() -> Vec<u8> {
        let none = u32::MAX;
        let entries = [
            (0x01, 6, none),
            (0x02, 6, 12345),
            (0x04, 0, none),
            (0x10, 6, none),
            (0x20, 0, none),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(permissions));
            list.extend(u32::to_le_bytes(id));
        }
        list
    }

    /// Binds beside the socket at `path`, as a tap does, and checks what the file allows.
    fn copies(path: PathBuf) -> FileAccess {
        let address = Address::from_path(path).unwrap();
        let place = Place::open(&address, address.path().unwrap()).unwrap();
        let like = FileAccess::of(&place.open_file(&place.base).unwrap()).unwrap();
        let base = displaced_base(&place.base);
        let socket = crate::socket::new(Kind::Stream, rustix::net::SocketFlags::empty()).unwrap();
        let bound = beside(&address, &place, &base, &socket, &like).unwrap();
        let found = place.look_at(&base).unwrap().unwrap();
        assert_eq!(FileIdentity::of(&found), bound);
        let copied = FileAccess::of(&place.open_file(&base).unwrap()).unwrap();
        assert_eq!(copied, like);
        let names = std::fs::read_dir(&place.parent).unwrap();
        assert_eq!(names.count(), 3, "the socket, its lock, and ours");
        copied
    }

    #[test]
    fn a_socket_beside_another_lets_in_whom_that_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = Address::from_path(path.clone()).unwrap();
        let _claim = Claim::options().mode(0o620).claim(&address).unwrap();
        assert_eq!(copies(path).mode, 0o620);
    }

    #[test]
    fn a_socket_beside_another_has_its_access_list_and_not_that_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let list = list_for_one_more();
        let default = setxattr(
            dir.path(),
            "system.posix_acl_default",
            &list,
            XattrFlags::empty(),
        );
        if default == Err(Errno::OPNOTSUPP) {
            return;
        }
        default.unwrap();
        for is_listed in [false, true] {
            // The new directory inherits the default list.
            let inner = dir.path().join(is_listed.to_string());
            std::fs::create_dir(&inner).unwrap();
            let path = inner.join("s");
            let address = Address::from_path(path.clone()).unwrap();
            let _claim = Claim::options().mode(0o660).claim(&address).unwrap();
            if is_listed {
                setxattr(&path, ACCESS_LIST, &list, XattrFlags::empty()).unwrap();
            }
            let copied = copies(path);
            let expected = is_listed.then(|| list.clone());
            assert_eq!((copied.mode, copied.list), (0o660, expected));
        }
    }

    #[test]
    fn a_socket_with_a_long_name_is_bound_beside_another() {
        let dir = tempfile::tempdir().unwrap();
        for length in [90, 200, 245] {
            let inner = dir.path().join(length.to_string());
            std::fs::create_dir(&inner).unwrap();
            let path = inner.join("n".repeat(length));
            let address = Address::from_path(path.clone()).unwrap();
            let _claim = Claim::options().claim(&address).unwrap();
            assert_eq!(copies(path).mode, 0o600);
        }
    }
}
