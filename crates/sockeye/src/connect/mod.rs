//! [`Connector`]: from an address to a connection, or to a reason why not.
//!
//! ```no_run
//! use std::time::Duration;
//! use sockeye::{Address, Connector};
//!
//! let address: Address = "/run/app.sock".parse()?;
//! let stream = Connector::new()
//!     .wait_for(Duration::from_secs(5))
//!     .connect_blocking(&address)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod found;
mod single_instance;

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, openat, stat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};

pub use error::{ConnectError, ConnectErrorKind};
pub use single_instance::{ClaimOrConnectError, Claimed};

use crate::address::{Address, Kind, MAX_NAME, Name};
use crate::adopt::{self, AdoptError};
use crate::backoff::Backoff;
use crate::claim::begins_in_removed;
use crate::inspect::lookup::Lookup;
use crate::packet::{BlockingDatagram, BlockingSeqPacket};
use crate::socket;

/// The first pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// A file system that answers does so within this time.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Connects to a server, with a bound on how long that may take.
#[doc(alias = "UnixStream")]
#[doc(alias = "retry")]
#[derive(Debug, Clone)]
pub struct Connector {
    connect_timeout: Duration,
    wait_for: Duration,
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// Ten seconds for a server with a full backlog; does not wait for one that is absent.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            wait_for: Duration::ZERO,
        }
    }

    /// How long a server with a full backlog is tried, from the first attempt that found it. Any other
    /// server is connected to at once.
    ///
    /// To find out why a socket file refuses, the files of other sockets are looked at. Mounts that
    /// hang delay that by at most this timeout, and at most three seconds.
    ///
    /// The kernel gives no sign when a backlog has room again (a socket that was refused with
    /// `EAGAIN` turns writable without being connected), so attempts are made on a timer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for a server to appear where there is no file yet, or one that nobody listens
    /// on. The back-off between attempts doubles from 2 ms to 100 ms.
    #[must_use]
    pub fn wait_for(mut self, time: Duration) -> Self {
        self.wait_for = time;
        self
    }

    /// Connects a stream; blocks the thread.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    pub fn connect_blocking(&self, address: &Address) -> Result<UnixStream, ConnectError> {
        Ok(self.wait_for_socket(address, Kind::Stream)?.into())
    }

    /// Connects a seqpacket socket; blocks the thread.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    pub fn connect_seqpacket_blocking(
        &self,
        address: &Address,
    ) -> Result<BlockingSeqPacket, ConnectError> {
        let socket = self.wait_for_socket(address, Kind::SeqPacket)?;
        BlockingSeqPacket::from_connected(socket).map_err(|error| ConnectError::io(address, error))
    }

    /// Has `socket` send to `address` from now on, and receive from nobody else; blocks the thread
    /// while it waits for a server.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    pub fn connect_datagram_blocking(
        &self,
        socket: &BlockingDatagram,
        address: &Address,
    ) -> Result<(), ConnectError> {
        let mut attempts = Attempts::new(self, address);
        while let Some(pause) = attempts.pause_after(send_to(socket.as_fd(), address))? {
            std::thread::sleep(pause);
        }
        Ok(())
    }

    fn wait_for_socket(&self, address: &Address, kind: Kind) -> Result<OwnedFd, ConnectError> {
        let mut attempts = Attempts::new(self, address);
        loop {
            match attempts.next(kind)? {
                AttemptOutcome::Connected(socket) => {
                    rustix::io::ioctl_fionbio(&socket, false)
                        .map_err(|errno| ConnectError::io(address, errno.into()))?;
                    return Ok(socket);
                }
                AttemptOutcome::Pause(time) => std::thread::sleep(time),
            }
        }
    }
}

#[cfg(feature = "tokio")]
impl Connector {
    /// Connects a stream on a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    ///
    /// # Panics
    /// Without I/O in the runtime; without timers with [`Self::wait_for`] or where the backlog is full.
    ///
    /// # Cancel safety
    /// Dropping the future gives up; a connection is either returned or was never made.
    pub async fn connect(&self, address: &Address) -> Result<crate::Stream, ConnectError> {
        let socket = self.socket(address, Kind::Stream).await?;
        crate::Stream::from_nonblocking(socket).map_err(|error| ConnectError::io(address, error))
    }

    /// Connects a seqpacket socket on a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Dropping the future gives up; a connection is either returned or was never made.
    pub async fn connect_seqpacket(
        &self,
        address: &Address,
    ) -> Result<crate::SeqPacket, ConnectError> {
        let socket = self.socket(address, Kind::SeqPacket).await?;
        crate::SeqPacket::from_nonblocking(socket).map_err(|error| ConnectError::io(address, error))
    }

    /// Has `socket` send to `address` from now on, and receive from nobody else.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Dropping the future gives up.
    pub async fn connect_datagram(
        &self,
        socket: &crate::Datagram,
        address: &Address,
    ) -> Result<(), ConnectError> {
        self.check_timers();
        let mut attempts = Attempts::new(self, address);
        while let Some(pause) = attempts.pause_after(send_to(socket.as_fd(), address))? {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Panics at once in a runtime without timers, if these are sure to be needed where no server is.
    fn check_timers(&self) {
        if !self.wait_for.is_zero() {
            drop(tokio::time::sleep(Duration::ZERO));
        }
    }

    async fn socket(&self, address: &Address, kind: Kind) -> Result<OwnedFd, ConnectError> {
        self.check_timers();
        let mut attempts = Attempts::new(self, address);
        loop {
            match attempts.next(kind)? {
                AttemptOutcome::Connected(socket) => return Ok(socket),
                AttemptOutcome::Pause(time) => tokio::time::sleep(time).await,
            }
        }
    }
}

enum AttemptOutcome {
    Connected(OwnedFd),
    Pause(Duration),
}

/// The attempts to reach one address, and the pauses between them.
struct Attempts<'a> {
    connector: &'a Connector,
    address: &'a Address,
    started: Instant,
    /// When a server with a full backlog was found first.
    full_since: Option<Instant>,
    backoff: Backoff,
    random: RandomState,
}

impl<'a> Attempts<'a> {
    fn new(connector: &'a Connector, address: &'a Address) -> Self {
        Self {
            connector,
            address,
            started: Instant::now(),
            full_since: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            random: RandomState::new(),
        }
    }

    fn next(&mut self, kind: Kind) -> Result<AttemptOutcome, ConnectError> {
        match attempt(self.address, kind) {
            Ok(socket) => Ok(AttemptOutcome::Connected(socket)),
            Err(failure) => self.failed(failure).map(AttemptOutcome::Pause),
        }
    }

    /// The pause before another attempt, if that is needed.
    fn pause_after(
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
        let errno = match failure {
            AttemptFailure::Final(error) => return Err(*error),
            AttemptFailure::Errno(errno) => errno,
        };
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
        let error = || ConnectError::explain(self.address, errno, patience);
        let may_pass = errno == Errno::AGAIN
            || (!allowed.is_zero() && a_server_would_help(self.address, errno));
        if !may_pass {
            return Err(error());
        }
        if left.is_zero() {
            return Err(error().after(allowed));
        }
        // Jitter, between half and all of the pause, so that many clients do not come at once.
        let share = 500 + self.random.hash_one(now) % 501;
        let pause = self.backoff.next_pause().mul_f64(share as f64 / 1000.0);
        Ok(pause.min(left))
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

enum AttemptFailure {
    Errno(Errno),
    Final(Box<ConnectError>),
}

impl From<Errno> for AttemptFailure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// As [`connect_once`], or adopts an inherited socket.
fn attempt(address: &Address, kind: Kind) -> Result<OwnedFd, AttemptFailure> {
    if address.kind() != kind {
        let wrong = ConnectErrorKind::WrongAddressKind { wanted: kind };
        return Err(refuse(address, wrong));
    }
    match address.name() {
        Name::Fd(raw) => adopted(*raw, kind)
            .map_err(|error| refuse(address, ConnectErrorKind::NotAdopted(error))),
        Name::Systemd(_) => Err(refuse(address, ConnectErrorKind::NotAnAddressToCall)),
        Name::Path(_) | Name::Abstract(_) => Ok(connect_once(address)?),
    }
}

/// One connect(2) that does not block, for a diagnosis: it neither waits for a server, as [`Connector`]
/// does, nor looks at what is in the way. The socket is non-blocking.
///
/// ```
/// let address = "@sockeye-doc-nobody".parse()?;
/// let refused = sockeye::connect::connect_once(&address).unwrap_err();
/// assert_eq!(refused, sockeye::Errno::CONNREFUSED);
/// # Ok::<(), sockeye::AddressError>(())
/// ```
///
/// # Errors
/// The errno of connect(2), socket(2), or open(2) for a path that is too long for a socket address:
/// `EAGAIN` for a full backlog, `EINVAL` for an inherited fd, which has no address.
pub fn connect_once(address: &Address) -> Result<OwnedFd, Errno> {
    let (target, _held) = target(address)?;
    let socket = socket::new(address.kind(), SocketFlags::NONBLOCK)?;
    connect(&socket, &target)?;
    Ok(socket)
}

fn adopted(raw: RawFd, kind: Kind) -> Result<OwnedFd, AdoptError> {
    let fd = adopt::inherited(raw)?;
    adopt::connected(fd.as_fd(), kind)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// connect(2) of a datagram socket, which never blocks.
fn send_to(socket: BorrowedFd<'_>, address: &Address) -> Result<(), AttemptFailure> {
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
    AttemptFailure::Final(Box::new(ConnectError::new(address, kind)))
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
