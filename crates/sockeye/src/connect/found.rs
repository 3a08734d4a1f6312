//! What is found at an address where connect(2) has failed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat, readlink, stat,
};
use rustix::io::Errno;

use super::error::{ConnectError, ConnectErrorKind};
use crate::address::{Address, Kind, Name};
use crate::claim::{
    Probe, ProcessLink, UnreachableParent, displaced_server, probe, probe_all_within,
    unreachable_parent,
};
use crate::ids;
use crate::inspect::{diag, is_bound_to};

impl ConnectError {
    /// Looks at the address to find out why connect(2) failed.
    /// Waits no longer than `patience` for mounts that hang.
    pub(crate) fn explain(address: &Address, errno: Errno, patience: Duration) -> Self {
        let kind = match (errno, address.name()) {
            (Errno::AGAIN, _) => ConnectErrorKind::BacklogFull,
            (Errno::PROTOTYPE, _) => ConnectErrorKind::WrongKind {
                actual: actual_kind(address),
            },
            (Errno::CONNREFUSED, Name::Abstract(_)) => match (probe(address), actual_kind(address))
            {
                (Probe::Live { pid }, _) => ConnectErrorKind::NotListening { pid },
                (_, None) => ConnectErrorKind::NobodyListens,
                (_, actual) => ConnectErrorKind::WrongKind { actual },
            },
            (Errno::CONNREFUSED, Name::Path(path)) => refused(address, path, patience),
            (Errno::NOENT | Errno::ACCESS | Errno::NOTDIR, Name::Path(path)) => {
                match on_the_way(path, LINKS) {
                    // The server has come since.
                    ConnectErrorKind::ModeDenies { .. } | ConnectErrorKind::Denied
                        if errno != Errno::ACCESS =>
                    {
                        ConnectErrorKind::Absent
                    }
                    kind => kind,
                }
            }
            (Errno::PERM, _) if address.kind() == Kind::Datagram => {
                match bound_to(address).map(|entry| entry.peer.is_some()) {
                    Some(true) => ConnectErrorKind::ConnectedElsewhere,
                    Some(false) => ConnectErrorKind::Denied,
                    None => ConnectErrorKind::Io,
                }
            }
            (Errno::ACCESS | Errno::PERM, _) => ConnectErrorKind::Denied,
            _ => ConnectErrorKind::Io,
        };
        Self::new(address, kind).with_source(errno)
    }
}

/// Refused: not a socket, a dead one, or one that does not listen.
fn refused(address: &Address, path: &Path, patience: Duration) -> ConnectErrorKind {
    match stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Socket) => {}
        Ok(other) => return ConnectErrorKind::NotASocket(other),
        Err(_) => return ConnectErrorKind::Absent,
    }
    // A link is fine for a client; the claim's probe does not follow it.
    let target = std::fs::canonicalize(path)
        .ok()
        .and_then(|real| Address::from_path(real).ok());
    let target = target.as_ref().unwrap_or(address);
    let found = probe_all_within(patience, [target]).pop();
    if let Some(Probe::Live { pid }) = found {
        return ConnectErrorKind::NotListening { pid };
    }
    match (displaced_server(target, patience), found) {
        (Some(pid), _) => ConnectErrorKind::Displaced {
            pid,
            path: target.path().unwrap_or(path).to_owned(),
        },
        (None, Some(Probe::Unclear(reason))) => ConnectErrorKind::Unclear(reason),
        _ => ConnectErrorKind::Stale,
    }
}

/// As many symbolic links as the kernel follows.
const LINKS: u32 = 40;

fn on_the_way(path: &Path, links: u32) -> ConnectErrorKind {
    let mode_of = |path: &Path| {
        stat(path)
            .ok()
            .map(|stat| (stat.st_mode & 0o7777, ids::uid(stat.st_uid)))
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match unreachable_parent(parent) {
        Some(UnreachableParent::Missing(directory)) => {
            return ConnectErrorKind::ParentMissing(directory);
        }
        Some(UnreachableParent::Removed(_)) => return ConnectErrorKind::WorkingDirectoryRemoved,
        Some(UnreachableParent::Closed(link)) => return ConnectErrorKind::ProcessDenies(link),
        Some(UnreachableParent::NotADirectory(path)) => {
            return ConnectErrorKind::ParentNotADirectory(path);
        }
        Some(UnreachableParent::Denied(directory)) => {
            return ConnectErrorKind::DirectoryDenies {
                mode_and_owner: mode_of(&directory),
                directory,
            };
        }
        None => {}
    }
    match stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        // The kernel looks at the mode first, and only then at what it is.
        Ok(FileType::Socket) => match accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
            Ok(()) => ConnectErrorKind::Denied,
            Err(_) => ConnectErrorKind::ModeDenies {
                mode_and_owner: mode_of(path),
            },
        },
        Ok(other) => ConnectErrorKind::NotASocket(other),
        Err(errno) if errno == Errno::ACCESS && ProcessLink::at(path).is_some() => {
            ConnectErrorKind::ProcessDenies(ProcessLink::new(path))
        }
        Err(_) => match readlink(path, Vec::new()) {
            Ok(target) if links > 0 => {
                let target = parent.join(OsStr::from_bytes(target.as_bytes()));
                match on_the_way(&target, links - 1) {
                    ConnectErrorKind::Absent => ConnectErrorKind::DanglingLink(target),
                    other => other,
                }
            }
            _ => ConnectErrorKind::Absent,
        },
    }
}

/// The kind of the socket that is bound to the address.
fn actual_kind(address: &Address) -> Option<Kind> {
    bound_to(address).map(|entry| entry.kind)
}

/// The socket that is bound to the address, from the kernel's table.
fn bound_to(address: &Address) -> Option<diag::DiagEntry> {
    let table = diag::dump().ok()?;
    let mut reachable = table.into_iter().filter(diag::DiagEntry::is_reachable);
    match address.name() {
        Name::Path(path) => {
            let real = std::fs::canonicalize(path).ok()?;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = openat(CWD, &real, flags, Mode::empty()).ok()?;
            let found = fstat(&file).ok()?;
            let base = real.file_name()?;
            reachable.find(|entry| is_bound_to(entry, &file, &found, base))
        }
        Name::Abstract(name) => reachable.find(|entry| {
            let bound = entry.name.as_deref().unwrap_or_default();
            bound.strip_prefix(b"\0") == Some(name)
        }),
        _ => None,
    }
}
