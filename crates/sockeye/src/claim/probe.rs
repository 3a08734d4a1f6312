//! [`Probe`]: is the socket at a path alive?

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat, openat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};
use rustix::process::Pid;

use super::place::Place;
use crate::address::Kind;
use crate::inspect::diag::{self, Entry};
use crate::inspect::{is_bound_to, namespace, procfs};
use crate::peer::Peer;
use crate::socket;

/// What was found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Nothing.
    Absent,
    /// A socket file at which nobody can be reached any more: proven dead. Connections that were
    /// accepted there may live on, and go on without it.
    Stale,
    /// A server that listens, is about to, or has too much to do to answer.
    Live {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// Something else than a socket. A symbolic link is not followed.
    NotASocket(FileType),
    /// It cannot be told.
    Unknown(Errno),
}

/// Probes a path; a descriptor of the socket file comes along, whatever its state.
///
/// First by inode in sock_diag(7), which the server does not notice, then by a non-blocking
/// connect(2), which also reaches servers of other network namespaces.
pub(super) fn path(place: &Place) -> (Probe, Option<OwnedFd>) {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match openat(&place.directory, &place.base, flags, Mode::empty()) {
        Ok(file) => rustix::fs::fstat(&file).map(|stat| (file, stat)),
        Err(Errno::NOENT) => return (Probe::Absent, None),
        Err(errno) => Err(errno),
    };
    match found {
        Ok((file, stat)) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => (socket_file(place, &file, &stat), Some(file)),
            other => (Probe::NotASocket(other), None),
        },
        Err(errno) => (Probe::Unknown(errno), None),
    }
}

fn socket_file(place: &Place, file: &OwnedFd, stat: &Stat) -> Probe {
    let is_owner =
        |entry: &Entry| entry.is_reachable() && is_bound_to(entry, file, stat, &place.base);
    let live = |owner: &Entry| Probe::Live {
        pid: procfs::holder(owner.inode),
    };
    let table = diag::dump();
    if let Some(owner) = table.iter().flatten().find(|entry| is_owner(entry)) {
        return live(owner);
    }
    // Refused is also what a socket says between bind and listen; that it is not in any table that
    // we may read is the other half of the proof.
    match (knock(file), table) {
        (Probe::Stale, Err(error)) => {
            Probe::Unknown(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
        (Probe::Stale, Ok(_)) => match namespace::find_elsewhere(is_owner) {
            Some(owner) => live(&owner),
            None => Probe::Stale,
        },
        (answer, _) => answer,
    }
}

/// Probes an abstract name. Nothing can be left behind there.
pub(super) fn abstract_name(kind: Kind, name: &[u8]) -> Probe {
    let table = match diag::dump() {
        Ok(table) => table,
        Err(error) => return Probe::Unknown(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    // Each kind has names of its own.
    let owner = table.iter().find(|entry| {
        entry.kind == kind
            && entry.is_reachable()
            && entry
                .name
                .as_deref()
                .is_some_and(|n| n.strip_prefix(b"\0") == Some(name))
    });
    match owner {
        Some(owner) => Probe::Live {
            pid: procfs::holder(owner.inode),
        },
        None => Probe::Absent,
    }
}

/// Connects to the very file behind `file` and hangs up at once.
fn knock(file: &OwnedFd) -> Probe {
    let attempt = || -> Result<OwnedFd, Errno> {
        let client = socket::new(Kind::Stream, SocketFlags::NONBLOCK)?;
        connect(&client, &SocketAddrUnix::new(socket::path_of(file))?)?;
        Ok(client)
    };
    match attempt() {
        Ok(client) => Probe::Live {
            pid: Peer::of(&client).ok().and_then(|peer| peer.pid()),
        },
        // A full backlog; another type of socket: somebody is there.
        Err(Errno::AGAIN | Errno::PROTOTYPE) => Probe::Live { pid: None },
        Err(Errno::CONNREFUSED) => Probe::Stale,
        Err(errno) => Probe::Unknown(errno),
    }
}
