//! [`TappedServer`]: the server behind a tap, found by the inode of its socket file.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};
use rustix::process::Pid;

use super::error::{TapError, TapErrorKind};
use super::file_mounts;
use super::names::TapNames;
use crate::address::{Address, Kind};
use crate::claim::{Place, Probe, probe};
use crate::inspect::diag::{DiagEntry, DiagState};
use crate::inspect::is_bound_to;
use crate::inspect::lookup::Lookup;
use crate::relay::ClientCredentials;
use crate::socket;

/// The listening socket that a tap stands in front of.
pub(super) struct TappedServer {
    /// Its socket file (`O_PATH`): it leads there whatever the name is.
    pub(super) file: OwnedFd,
    pub(super) stat: Stat,
    /// The process that listens, where that can be known.
    pub(super) pid: Option<Pid>,
    /// The ids with which listen(2) was called, where they can be known.
    pub(super) listened_as: Option<ClientCredentials>,
    pub(super) unseen: Unseen,
}

/// What a tap cannot see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unseen {
    /// Connections that were made before, those in the server's backlog too; of a datagram server the
    /// clients that are connected to it.
    pub connections: usize,
    /// Mounts of the socket file itself (bind mounts, as in containers): who connects there goes past the
    /// tap.
    pub mounts: usize,
}

impl TappedServer {
    pub(super) fn find(
        address: &Address,
        place: &Place,
        names: &TapNames,
    ) -> Result<Self, TapError> {
        let fail = |kind| TapError::new(address, kind);
        let io = |errno| TapError::io(address, errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&names.directory, &names.path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(fail(TapErrorKind::Absent)),
            file => file.map_err(io)?,
        };
        let stat = fstat(&file).map_err(io)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type != FileType::Socket {
            return Err(fail(TapErrorKind::NotASocket(file_type)));
        }
        if is_dead(&file) {
            return Err(fail(TapErrorKind::NoServer));
        }
        let lookup = Lookup::default();
        let is_owner = |entry: &&DiagEntry| {
            entry.is_reachable() && is_bound_to(entry, &file, &stat, &place.base)
        };
        let here = lookup.here().unwrap_or_default().iter().find(is_owner);
        let Some(entry) = here.or_else(|| lookup.everywhere().iter().find(is_owner)) else {
            // It may be in a network namespace that we may not look into.
            return match probe(address) {
                Probe::Live { pid } => Ok(Self {
                    unseen: Unseen::default(),
                    listened_as: None,
                    file,
                    stat,
                    pid,
                }),
                _ => Err(fail(TapErrorKind::NoServer)),
            };
        };
        if entry.kind != address.kind() {
            return Err(fail(TapErrorKind::WrongKind(entry.kind)));
        }
        if entry.kind != Kind::Datagram && entry.state != DiagState::Listening {
            return Err(fail(TapErrorKind::NotListening));
        }
        let is_connection = |other: &&DiagEntry| match entry.kind {
            Kind::Datagram => other.peer == Some(entry.inode),
            _ => !other.is_reachable() && is_bound_to(other, &file, &stat, &place.base),
        };
        let connections = lookup.everywhere().iter().filter(is_connection).count();
        let unseen = Unseen {
            connections: connections + entry.waiting.len(),
            mounts: file_mounts::count(&stat, &place.base),
        };
        Ok(Self {
            pid: lookup.holder(entry.inode),
            // Closed at once: it must not keep the socket open.
            listened_as: lookup
                .duplicate(entry.inode)
                .and_then(|listener| ClientCredentials::of(listener).ok()),
            unseen,
            file,
            stat,
        })
    }

    /// Where to connect to it.
    pub(super) fn address(&self, kind: Kind) -> Option<Address> {
        Address::new(
            kind,
            &crate::address::Name::Path(socket::path_of(&self.file)),
        )
        .ok()
    }

    /// Whether its socket is still open; where no answer is given, it counts as open.
    pub(super) fn is_alive(&self) -> bool {
        !is_dead(&self.file)
    }
}

/// Whether nobody has a socket open that is bound to this file. A datagram socket asks, which no server
/// notices.
pub(super) fn is_dead(file: &OwnedFd) -> bool {
    let ask = || {
        let client = socket::new(Kind::Datagram, SocketFlags::NONBLOCK)?;
        connect(&client, &SocketAddrUnix::new(socket::path_of(file))?)
    };
    ask() == Err(Errno::CONNREFUSED)
}
