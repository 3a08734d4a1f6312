//! [`Datagram`]: a UNIX datagram socket on tokio; a full receiver is retried with back-off.

mod sending;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown, SocketFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::address::{Address, Kind};
use crate::adopt::{self, AdoptError};
use crate::ancillary::{Received, RecvError, close_in_background, recvmsg_once};
use crate::claim::{Claim, Ownership};
use crate::passing::{PassRights, PeekedFds};
use crate::sys::message::peek;
use crate::{closing, fd_headroom, socket, sys};

/// How long a receiver waits before it checks again whether fds fit.
const UNTIL_ROOM: Duration = Duration::from_millis(100);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A UNIX datagram socket on a tokio runtime, with the address that it owns if it was claimed.
/// Dropping it releases the address as [`Claim`] does.
///
/// A send to a receiver whose queue is full (`net.unix.max_dgram_qlen`) is retried with back-off until
/// a deadline. The kernel does not report reliably when there is room again: poll(2) looks at the
/// socket's own buffer, not at each receiver's queue.
///
/// # Differences from tokio's `UnixDatagram`
///
/// - It is bound by a [`Claim`], or with [`Self::unclaimed`], and connected by
///   [`Connector::connect_datagram`](crate::Connector::connect_datagram).
/// - A datagram that does not fit into the buffer is an error; tokio's truncates it.
/// - Receiving gives the sender's address and fds with the bytes ([`Received`]): there is one call for
///   tokio's `recv` and `recv_from`, and sending takes fds too.
/// - There is no `writable` nor `poll_send_ready`, which would not tell of the receiver's queue (above):
///   [`Self::send_msg`] waits, [`Self::try_send_msg`] does not.
/// - There are no `poll_` calls, and none that receive into a `BufMut`: pass a slice with room for the
///   largest datagram.
#[derive(Debug)]
#[doc(alias = "UnixDatagram")]
#[doc(alias = "SOCK_DGRAM")]
#[must_use = "dropping it releases the address"]
pub struct Datagram {
    // Dropped in this order: the path is removed before the socket closes.
    ownership: Option<Mutex<Ownership>>,
    io: AsyncFd<OwnedFd>,
    send_timeout: Duration,
    /// Whether no other process receives on the same socket.
    is_ours: bool,
    pass_rights: PassRights,
    /// Whether fds that do not fit stay in the queue. Not if the socket was never set to accept any: it
    /// might wait forever.
    leaves_in_queue: bool,
    /// Whether it accepts fds while many wait to be closed.
    keeps_accepting_fds: bool,
}

impl Datagram {
    /// Receives on a claimed address.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is not of [`Kind::Datagram`]; the error names
    /// the type for its kind. Otherwise as epoll_ctl(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_claim(claim: Claim) -> io::Result<Self> {
        claim.must_be(Some(Kind::Datagram))?;
        rustix::io::ioctl_fionbio(&claim, true)?;
        // A duplicate, so that the claim stays complete until nothing can fail.
        let mut datagram = Self::new(claim.as_fd().try_clone_to_owned()?, true)?;
        datagram.allow_fd_passing(claim.allows_fd_passing())?;
        datagram.ownership = claim.into_ownership().map(Mutex::new);
        Ok(datagram)
    }

    /// A socket with an abstract name that the kernel chooses (autobind, unix(7)), so that it can be
    /// answered.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn unclaimed() -> io::Result<Self> {
        Self::new(socket::autobound(SocketFlags::NONBLOCK)?, true)
    }

    /// A connected pair (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::Datagram, SocketFlags::NONBLOCK)?;
        Ok((Self::new(left, true)?, Self::new(right, true)?))
    }

    /// Adopts a file descriptor of a UNIX datagram socket that another process has bound, and may
    /// receive on. Its file is never removed and the socket never shut down. It is made close-on-exec,
    /// and non-blocking for every process that shares it. It accepts fds unless
    /// [`Self::allow_fd_passing`] turns that off.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::of_kind(fd.as_fd(), Kind::Datagram)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::new(fd, false).map_err(AdoptError::Io)
    }

    /// From a non-blocking socket, as [`Self::pair`] makes them.
    ///
    /// # Errors
    /// As setsockopt(2) and epoll_ctl(2).
    #[track_caller]
    pub(crate) fn from_nonblocking(socket: OwnedFd) -> io::Result<Self> {
        Self::new(socket, true)
    }

    #[track_caller]
    fn new(socket: OwnedFd, is_ours: bool) -> io::Result<Self> {
        sys::message::mark_records(socket.as_fd())?;
        Ok(Self {
            ownership: None,
            io: socket::register(socket, Interest::READABLE)?,
            send_timeout: SEND_TIMEOUT,
            is_ours,
            pass_rights: PassRights::new(true),
            leaves_in_queue: false,
            keeps_accepting_fds: false,
        })
    }

    /// Whether senders may pass fds to it, as [`ClaimOptions::allow_fd_passing`] for a claimed socket;
    /// it holds for every process that shares the socket.
    ///
    /// [`ClaimOptions::allow_fd_passing`]: crate::claim::ClaimOptions::allow_fd_passing
    ///
    /// # Errors
    /// As setsockopt(2).
    #[doc(alias = "SCM_RIGHTS")]
    #[doc(alias = "SO_PASSRIGHTS")]
    pub fn allow_fd_passing(&mut self, allow: bool) -> io::Result<()> {
        let can_refuse = self.pass_rights.set(self.io.as_fd(), allow)?;
        self.leaves_in_queue = allow || !can_refuse;
        Ok(())
    }

    /// As [`SocketListener::keep_accepting_fds`](crate::listener::SocketListener::keep_accepting_fds):
    /// a sender's sendmsg(2) does not fail with `EPERM` while too many wait to be closed. While the fds
    /// of a datagram do not fit into `RLIMIT_NOFILE`, it stays in the queue.
    pub fn keep_accepting_fds(&mut self) {
        self.keeps_accepting_fds = true;
    }

    /// How long a send may wait for room in the receiver's queue before it fails with
    /// [`io::ErrorKind::TimedOut`]; ten seconds by default.
    pub fn set_send_timeout(&mut self, timeout: Duration) {
        self.send_timeout = timeout;
    }

    /// The address that peers send to, as [`SocketListener::address`]; `None` where it has none.
    ///
    /// [`SocketListener::address`]: crate::listener::SocketListener::address
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match &self.ownership {
            Some(ownership) => Some(lock(ownership).address().clone()),
            None => socket::address(self.as_fd(), Kind::Datagram),
        }
    }

    /// The name that the socket is bound to, as getsockname(2) has it.
    ///
    /// # Errors
    /// As dup(2) and getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.as_fd())
    }

    /// As [`Claim::unsafe_parent`].
    #[must_use]
    pub fn unsafe_parent(&self) -> Option<PathBuf> {
        lock(self.ownership.as_ref()?).unsafe_parent()
    }

    /// Whether other processes may receive on the same socket.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        !self.is_ours
    }

    /// Receives one datagram with its ancillary data.
    ///
    /// # Errors
    /// [`RecvError`]; a datagram that does not fit is lost. [`io::ErrorKind::UnexpectedEof`] where
    /// reading was shut down and the queue is empty: recvmsg(2) on a non-blocking socket reports only
    /// `EAGAIN` then, and a loop that relied on it would spin.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        self.recv_ready(|| self.try_recv(buffer)).await
    }

    /// Calls `attempt`, which receives, until it returns something; sleeps while the queue is empty
    /// (`None`), and while the fds of the next datagram do not fit.
    ///
    /// # Errors
    /// As [`Self::recv_msg`].
    pub(crate) async fn recv_ready<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Option<T>, RecvError>,
    ) -> Result<T, RecvError> {
        loop {
            let mut ready = tokio::select! {
                biased;
                ready = self.io.readable() => ready?,
                () = self.pass_rights.resumed() => {
                    self.pass_rights.regulate([self.as_fd()]);
                    continue;
                }
            };
            match attempt() {
                Err(RecvError::StillClosing) => tokio::time::sleep(UNTIL_ROOM).await,
                Err(error) => return Err(error),
                Ok(Some(received)) => return Ok(received),
                Ok(None) if ready.ready().is_read_closed() => {
                    return Err(RecvError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(None) => ready.clear_ready(),
            }
        }
    }

    /// Receives a queued datagram; `None` if the queue is empty.
    ///
    /// # Errors
    /// [`RecvError`]; a datagram that does not fit is lost. [`RecvError::StillClosing`] leaves it in
    /// the queue, since its fds do not fit; [`Datagram::recv_msg`] waits instead.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let received = self.try_recv_with_fds(buffer)?;
        Ok(received.map(|mut received| {
            if !self.pass_rights.is_allowed {
                close_in_background(std::mem::take(&mut received.descriptors));
            }
            received
        }))
    }

    /// As [`Self::try_recv`], with the fds that came though they are refused: before Linux 6.16, or
    /// before the socket refused any.
    pub(crate) fn try_recv_with_fds(
        &self,
        buffer: &mut [u8],
    ) -> Result<Option<Received>, RecvError> {
        if !self.keeps_accepting_fds {
            self.pass_rights.regulate([self.as_fd()]);
        }
        let received = match RecvError::split_would_block(self.try_recv_once(buffer)) {
            Ok(received) => received?,
            Err(_) => return Ok(None),
        };
        Ok(received.inspect(|received| fd_headroom::spend(received.descriptors.len())))
    }

    /// One attempt, if the fds of the next datagram fit.
    fn try_recv_once(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let fd = self.as_fd();
        let most = if self.leaves_in_queue {
            fd_headroom::for_next_message(fd).map(|most| if closing::has_room() { most } else { 0 })
        } else {
            None
        };
        let peeked = PeekedFds::within(fd, 1, most, peek::CREDENTIALS);
        let _peeked = peeked.map_err(|error| match error {
            // It would block the queue forever.
            RecvError::DescriptorsLost
                if !fd_headroom::fits_any_message() && closing::discard_next(fd) =>
            {
                error
            }
            RecvError::DescriptorsLost => RecvError::StillClosing,
            error => error,
        })?;
        recvmsg_once(fd, buffer, RecvFlags::DONTWAIT)
    }

    /// Waits until the socket is readable, without receiving.
    ///
    /// # Errors
    /// As poll(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        socket::readable(&self.io).await
    }

    /// Whether the socket is readable now.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_readable(&self) -> io::Result<bool> {
        socket::is_readable(self.as_fd())
    }

    /// Refuses new clients: the socket file is removed, and connected senders get `EPIPE`. Queued datagrams
    /// can still be received, and answered.
    ///
    /// An adopted socket is left as it is; other processes may receive on it.
    ///
    /// # Errors
    /// As unlink(2), where the file could not be removed, though new clients are refused then, too; as
    /// shutdown(2).
    #[doc(alias = "graceful shutdown")]
    pub fn refuse_new_clients(&self) -> io::Result<()> {
        let unlinked = match &self.ownership {
            Some(ownership) => lock(ownership).unlink(),
            None => Ok(()),
        };
        if self.is_ours {
            rustix::net::shutdown(&self.io, Shutdown::Read)?;
        }
        Ok(unlinked?)
    }
}

fn lock(ownership: &Mutex<Ownership>) -> MutexGuard<'_, Ownership> {
    // Nothing under the lock panics half-way.
    ownership.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Datagram {
    /// Fds that did not fit are closed with the socket, which may block: that is done in the background.
    fn drop(&mut self) {
        if self.leaves_in_queue
            && peek::has_unread(self.as_fd())
            && let Ok(socket) = self.as_fd().try_clone_to_owned()
        {
            close_in_background([socket]);
        }
    }
}

// As tokio's sockets: a panic leaves none of its state half-changed.
impl UnwindSafe for Datagram {}
impl RefUnwindSafe for Datagram {}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(Datagram);
