//! The file that bind(2) has made.
//!
//! bind takes a path, and a directory of that path can be replaced after we have opened it: then the
//! file is made in the wrong directory.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, unlinkat};

use super::error::{ClaimError, ClaimErrorKind, StrayFile};
use super::place::{self, FileIdentity, Place};
use crate::address::Address;
use crate::inspect::diag::{self, DiagEntry};
use crate::inspect::is_bound_to;
use crate::{ids, socket, sys};

const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How many times a file is looked for whose directory may be moved at the same time.
const ATTEMPTS: usize = 64;

/// The file that bind has just made, looked up in the directory that was opened, without
/// an fd, of which there may be none left. A file that was made elsewhere is removed there.
pub(super) fn file(
    address: &Address,
    place: &Place,
    socket: &OwnedFd,
    base: &OsStr,
) -> Result<FileIdentity, ClaimError> {
    let found = place
        .look_at(base)
        .map_err(|errno| ClaimError::io(address, errno))?;
    if let Some(stat) = &found
        && FileType::from_raw_mode(stat.st_mode) == FileType::Socket
        && is_own(place, base, stat)
    {
        return Ok(FileIdentity::of(stat));
    }
    let entry = entry_of(socket);
    // A file system may give our files another owner (NFS with root_squash).
    if let Some(bound) = identity(entry.as_ref(), &place.directory, base) {
        return Ok(bound);
    }
    let kind = match (remove_stray(socket, entry.as_ref(), place), found) {
        (StrayFile::Unknown { .. }, Some(_)) => ClaimErrorKind::InUse { pid: None },
        (stray, _) => ClaimErrorKind::FileLost(stray),
    };
    Err(ClaimError::new(address, kind))
}

/// As [`place::is_own`]; opens the file only if it must.
fn is_own(place: &Place, base: &OsStr, stat: &Stat) -> bool {
    if let (Some(owner), own) = (ids::uid(stat.st_uid), ids::own_uid()) {
        return Some(owner) == own;
    }
    openat(&place.directory, base, PATH_ONLY, Mode::empty()).is_ok_and(|file| {
        let is_same =
            fstat(&file).is_ok_and(|now| FileIdentity::of(&now) == FileIdentity::of(stat));
        is_same && place::is_own(&file, stat)
    })
}

/// The entry of our own socket in the kernel's table.
fn entry_of(socket: &OwnedFd) -> Option<DiagEntry> {
    let inode = fstat(socket).ok()?.st_ino as u32;
    let table = diag::dump().ok()?;
    table.into_iter().find(|entry| entry.inode == inode)
}

/// The file with that name, if our socket is bound to it.
fn identity(entry: Option<&DiagEntry>, directory: impl AsFd, base: &OsStr) -> Option<FileIdentity> {
    let file = openat(directory, base, PATH_ONLY, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    (is_socket && is_bound_to(entry?, &file, &stat, base)).then(|| FileIdentity::of(&stat))
}

/// Removes the file of our socket from a directory that took the place of the one that was opened.
fn remove_stray(socket: &OwnedFd, entry: Option<&DiagEntry>, place: &Place) -> StrayFile {
    for _ in 0..ATTEMPTS {
        let now = path_of_file(socket);
        if let Ok(None) = now {
            return StrayFile::Removed;
        }
        for path in [now.ok().flatten(), place.bindable.clone()] {
            if let Some(removed) = path.as_deref().and_then(|path| remove_at(path, entry)) {
                return removed;
            }
        }
    }
    StrayFile::Unknown {
        inode: entry.and_then(|entry| Some(entry.file?.inode)),
    }
}

/// `None` where our file is not in it.
fn remove_at(path: &Path, entry: Option<&DiagEntry>) -> Option<StrayFile> {
    let (parent, base) = (path.parent()?, path.file_name()?);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, parent, flags, Mode::empty()).ok()?;
    identity(entry, &directory, base)?;
    Some(match unlinkat(&directory, base, AtFlags::empty()) {
        Ok(()) => StrayFile::Removed,
        Err(_) => StrayFile::At(path.to_owned()),
    })
}

/// Where the file of a socket is now; `None` where it has no name. Needs `CAP_NET_ADMIN`.
fn path_of_file(socket: &OwnedFd) -> std::io::Result<Option<PathBuf>> {
    let file = sys::socket::bound_file(socket.as_fd())?;
    if fstat(&file)?.st_nlink == 0 {
        return Ok(None);
    }
    std::fs::read_link(socket::path_of(&file)).map(Some)
}
