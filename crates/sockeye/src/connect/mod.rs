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

mod attempts;
mod error;
mod found;
mod single_instance;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;

pub use error::{ConnectError, ConnectErrorKind};
pub use single_instance::{ClaimOrConnectError, Claimed};

use crate::address::{Address, Kind};
use crate::packet::{BlockingDatagram, BlockingSeqPacket};
#[cfg(feature = "tokio")]
use crate::passing::Passing;
#[cfg(feature = "tokio")]
pub(crate) use attempts::AttemptFailure;
#[cfg(feature = "tokio")]
use attempts::attempt;
use attempts::{AttemptOutcome, connect_now};
pub(crate) use attempts::{Attempts, ConnectedFd, send_to};

/// The first pause between two attempts.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Connects to a server, with a bound on how long that may take.
#[doc(alias = "UnixStream")]
#[doc(alias = "retry")]
#[derive(Debug, Clone)]
pub struct Connector {
    pub(crate) connect_timeout: Duration,
    pub(crate) wait_for: Duration,
    allows_fd_passing: bool,
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
            allows_fd_passing: true,
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

    /// Whether the server may pass fds to the new socket; default `true`. With `false` the kernel refuses
    /// them from before connect(2) on, so that the server's sendmsg(2) fails with `EPERM`
    /// (`SO_PASSRIGHTS`, Linux 6.16). Where the kernel cannot,
    /// [`passes_descriptors`](crate::ancillary::passes_descriptors) says so of the socket, and
    /// [`Stream`](crate::Stream) and [`SeqPacket`](crate::SeqPacket) close what comes.
    ///
    /// ```
    /// use sockeye::ancillary::passes_descriptors;
    /// use sockeye::{Address, Claim, Connector};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let address = Address::from_path(dir.path().join("app.sock"))?;
    /// # let _listener = Claim::options().claim(&address)?;
    /// let client = Connector::new().allow_fd_passing(false).connect_blocking(&address)?;
    /// if passes_descriptors(&client)? {
    ///     println!("this kernel cannot refuse file descriptors");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A socket that is connected by [`connect_datagram`](Self::connect_datagram) keeps its own setting.
    #[doc(alias = "SO_PASSRIGHTS")]
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn allow_fd_passing(mut self, allow: bool) -> Self {
        self.allows_fd_passing = allow;
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
                AttemptOutcome::Connected(ConnectedFd { socket, .. }) => {
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
        let connected = self.socket(address, Kind::Stream).await?;
        self.stream(address, connected)
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
        let connected = self.socket(address, Kind::SeqPacket).await?;
        self.seqpacket(address, connected)
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

    pub(crate) fn stream(
        &self,
        address: &Address,
        connected: ConnectedFd,
    ) -> Result<crate::Stream, ConnectError> {
        let passing = self.passing(&connected);
        let mut stream = crate::Stream::from_nonblocking(connected.socket)
            .map_err(|error| ConnectError::io(address, error))?;
        stream.set_passing(passing);
        Ok(stream)
    }

    pub(crate) fn seqpacket(
        &self,
        address: &Address,
        connected: ConnectedFd,
    ) -> Result<crate::SeqPacket, ConnectError> {
        let passing = self.passing(&connected);
        let mut socket = crate::SeqPacket::from_nonblocking(connected.socket)
            .map_err(|error| ConnectError::io(address, error))?;
        socket.set_passing(passing);
        Ok(socket)
    }

    /// One connect(2), as [`connect`](Self::connect) makes it.
    pub(crate) fn attempt(
        &self,
        address: &Address,
        kind: Kind,
    ) -> Result<ConnectedFd, AttemptFailure> {
        attempt(address, kind, self.allows_fd_passing)
    }

    /// The connect timeout.
    pub(crate) fn max_connect_time(&self) -> Duration {
        self.connect_timeout
    }

    fn passing(&self, connected: &ConnectedFd) -> Passing {
        match (self.allows_fd_passing, connected.refuses_fds) {
            (true, _) => Passing::Unchecked,
            (false, true) => Passing::Refused,
            (false, false) => Passing::Discards,
        }
    }

    async fn socket(&self, address: &Address, kind: Kind) -> Result<ConnectedFd, ConnectError> {
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
    Ok(connect_now(address, true)?.socket)
}
