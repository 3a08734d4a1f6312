//! [`Attempts`]: attempts to reach one address, and the pauses between them.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, openat, stat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};

use super::error::{ConnectError, ConnectErrorKind};
use super::{Connector, FIRST_PAUSE, LONGEST_PAUSE};
use crate::address::{Address, Kind, MAX_NAME, Name};
use crate::adopt::{self, AdoptError};
use crate::backoff::Backoff;
use crate::claim::begins_in_removed;
use crate::inspect::lookup::Lookup;
use crate::{socket, sys};

/// A file system that answers does so within this time.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

pub(super) enum AttemptOutcome {
    Connected(ConnectedFd),
    Pause(Duration),
}

/// A non-blocking socket that is connected.
pub(crate) struct ConnectedFd {
    pub(super) socket: OwnedFd,
    /// Whether the kernel has refused fds since before connect(2).
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "for tokio's sockets")
    )]
    pub(super) refuses_fds: bool,
}

/// The attempts to reach one address, and the pauses between them.
pub(crate) struct Attempts<'a> {
    connector: &'a Connector,
    address: &'a Address,
    started: Instant,
    /// When a server with a full backlog was found first.
    full_since: Option<Instant>,
    backoff: Backoff,
    random: RandomState,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(connector: &'a Connector, address: &'a Address) -> Self {
        Self {
            connector,
            address,
            started: Instant::now(),
            full_since: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            random: RandomState::new(),
        }
    }

    pub(super) fn next(&mut self, kind: Kind) -> Result<AttemptOutcome, ConnectError> {
        match attempt(self.address, kind, self.connector.allows_fd_passing) {
            Ok(socket) => Ok(AttemptOutcome::Connected(socket)),
            Err(failure) => self.failed(failure).map(AttemptOutcome::Pause),
        }
    }

    /// The pause before another attempt, if that is needed.
    pub(super) fn pause_after(
        &mut self,
        attempt: Result<(), AttemptFailure>,
    ) -> Result<Option<Duration>, ConnectError> {
        match attempt {
            Ok(()) => Ok(None),
            Err(failure) => self.failed(failure).map(Some),
        }
    }

    /// The pause after an attempt that failed, if another one makes sense.
    fn failed(&mut self, failure: AttemptFailure) -> Result<Duration, ConnectError> {
        match failure {
            AttemptFailure::Final(error) => Err(*error),
            AttemptFailure::Errno(errno) => {
                let pause = self.pause_after_errno(errno);
                pause.map_err(|given_up| given_up.explain(self.address))
            }
        }
    }

    /// As [`pause_after`](Self::pause_after), without looking for the reason where it gives up.
    pub(crate) fn pause_after_errno(&mut self, errno: Errno) -> Result<Duration, GivenUp> {
        let now = Instant::now();
        let (began, allowed) = if errno == Errno::AGAIN {
            let began = *self.full_since.get_or_insert(now);
            (began, self.connector.connect_timeout)
        } else {
            (self.started, self.connector.wait_for)
        };
        let left = allowed.saturating_sub(now - began);
        let patience = self
            .connector
            .connect_timeout
            .clamp(LEAST_PATIENCE, Lookup::PATIENCE);
        let given_up = |waited| GivenUp {
            errno,
            waited,
            patience,
        };
        let may_pass = errno == Errno::AGAIN
            || (!allowed.is_zero() && a_server_would_help(self.address, errno));
        if !may_pass {
            return Err(given_up(None));
        }
        if left.is_zero() {
            return Err(given_up(Some(allowed)));
        }
        // Jitter, between half and all of the pause, so that many clients do not come at once.
        let share = 500 + self.random.hash_one(now) % 501;
        let pause = self.backoff.next_pause().mul_f64(share as f64 / 1000.0);
        Ok(pause.min(left))
    }
}

/// The last attempt has failed, and no other one is made.
pub(crate) struct GivenUp {
    errno: Errno,
    /// How long attempts were made, if the time limit ran out.
    waited: Option<Duration>,
    patience: Duration,
}

impl GivenUp {
    /// Looks at the address for the reason.
    pub(crate) fn explain(self, address: &Address) -> ConnectError {
        let error = ConnectError::explain(address, self.errno, self.patience);
        match self.waited {
            Some(waited) => error.after(waited),
            None => error,
        }
    }
}

/// Whether a server that starts later would change the answer. Asked at each attempt, so it costs
/// one stat(2) at most.
fn a_server_would_help(address: &Address, errno: Errno) -> bool {
    match (errno, address.path()) {
        (Errno::NOENT, Some(path)) => !begins_in_removed(path),
        (Errno::NOENT | Errno::CONNREFUSED, None) => true,
        (Errno::CONNREFUSED, Some(path)) => {
            let found = stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode));
            !matches!(found, Ok(other) if other != FileType::Socket)
        }
        _ => false,
    }
}

pub(crate) enum AttemptFailure {
    Errno(Errno),
    Final(Box<ConnectError>),
}

impl From<Errno> for AttemptFailure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<ConnectError> for AttemptFailure {
    fn from(error: ConnectError) -> Self {
        Self::Final(Box::new(error))
    }
}

/// As [`connect_once`], or adopts an inherited socket.
pub(crate) fn attempt(
    address: &Address,
    kind: Kind,
    allows_fd_passing: bool,
) -> Result<ConnectedFd, AttemptFailure> {
    if address.kind() != kind {
        let wrong = ConnectErrorKind::WrongAddressKind { wanted: kind };
        return Err(refuse(address, wrong));
    }
    match address.name() {
        Name::Fd(raw) => adopted(*raw, kind, allows_fd_passing)
            .map_err(|error| refuse(address, ConnectErrorKind::NotAdopted(error))),
        Name::Systemd(_) => Err(refuse(address, ConnectErrorKind::NotAnAddressToCall)),
        Name::Path(_) | Name::Abstract(_) => Ok(connect_now(address, allows_fd_passing)?),
    }
}

/// One connect(2) that does not block.
pub(super) fn connect_now(
    address: &Address,
    allows_fd_passing: bool,
) -> Result<ConnectedFd, Errno> {
    let (target, _held) = target(address)?;
    let socket = socket::new(address.kind(), SocketFlags::NONBLOCK)?;
    // Before connect(2): the server may send at once.
    let refuses_fds = !allows_fd_passing && sys::socket::set_pass_rights(socket.as_fd(), false)?;
    connect(&socket, &target)?;
    Ok(ConnectedFd {
        socket,
        refuses_fds,
    })
}

fn adopted(raw: RawFd, kind: Kind, allows_fd_passing: bool) -> Result<ConnectedFd, AdoptError> {
    let socket = adopt::inherited(raw)?;
    adopt::connected(socket.as_fd(), kind)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    if !allows_fd_passing {
        sys::socket::set_pass_rights(socket.as_fd(), false)?;
    }
    Ok(ConnectedFd {
        socket,
        // Some may be queued.
        refuses_fds: false,
    })
}

/// connect(2) of a datagram socket, which never blocks.
pub(crate) fn send_to(socket: BorrowedFd<'_>, address: &Address) -> Result<(), AttemptFailure> {
    let wanted = Kind::Datagram;
    if address.kind() != wanted {
        let wrong = ConnectErrorKind::WrongAddressKind { wanted };
        return Err(refuse(address, wrong));
    }
    if let Name::Fd(_) | Name::Systemd(_) = address.name() {
        return Err(refuse(address, ConnectErrorKind::NotAnAddressToCall));
    }
    let (target, _held) = target(address)?;
    Ok(connect(socket, &target)?)
}

fn refuse(address: &Address, kind: ConnectErrorKind) -> AttemptFailure {
    ConnectError::new(address, kind).into()
}

/// The argument of connect(2), and the fd that must stay open until then.
fn target(address: &Address) -> Result<(SocketAddrUnix, Option<OwnedFd>), Errno> {
    Ok(match address.name() {
        Name::Path(path) if path.as_os_str().len() <= MAX_NAME => {
            (SocketAddrUnix::new(path.as_path())?, None)
        }
        Name::Path(path) => {
            // Too long for a socket address; an fd of the socket file leads there as well.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = openat(CWD, path.as_path(), flags, Mode::empty())?;
            (SocketAddrUnix::new(socket::path_of(&file))?, Some(file))
        }
        Name::Abstract(name) => (SocketAddrUnix::new_abstract_name(name)?, None),
        Name::Fd(_) | Name::Systemd(_) => return Err(Errno::INVAL),
    })
}
