//! Listening sockets on a tokio runtime: [`Listener`] for streams, [`SeqPacketListener`] for seqpacket
//! sockets, [`NetListener`] for TCP and vsock.
//!
//! [`Server`](crate::server::Server) adds an accept loop with back-off, limits and a drain.
//!
//! ```
//! use sockeye::{Address, Claim, Connector, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let address = Address::from_path(dir.path().join("app.sock"))?;
//! let listener = Listener::open(&address, &Claim::options())?;
//! let _client = Connector::new().connect(&address).await?;
//! let connection = listener.accept().await?;
//! println!("accepted {}", connection.peer()?);
//! # Ok(())
//! # }
//! ```

mod connected_socket;
mod descriptors;
mod incoming;
mod lent;
mod names;
mod net;
mod older;
mod open;
mod owned;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

pub use connected_socket::ConnectedSocket;
pub use incoming::Incoming;
pub use lent::LentClaim;
pub use net::NetListener;
use older::OlderSockets;
pub use open::ListenError;

use crate::adopt::{self, AdoptError};
use crate::claim::{BlockingListener, Claim, Ownership};
use crate::handover::PendingTakeover;
use crate::packet::SeqPacket;
use crate::passing::{PassRights, Passing};
use crate::peer::Peer;
use crate::socket;
use crate::stream::Stream;

/// A listener for streams.
#[doc(alias = "UnixListener")]
pub type Listener = SocketListener<Stream>;
/// A listener for seqpacket connections, which keep the boundaries of records.
#[doc(alias = "SOCK_SEQPACKET")]
pub type SeqPacketListener = SocketListener<SeqPacket>;

/// A listening socket on a tokio runtime, with the UNIX address that it owns if it was claimed.
/// Dropping it releases the address as [`Claim`] does.
#[must_use = "dropping it releases the address"]
pub struct SocketListener<S> {
    // Dropped in this order: the path is given up before the socket closes.
    ownership: Option<Ownership>,
    io: AsyncFd<OwnedFd>,
    older: OlderSockets,
    /// An fd that [`Self::try_accept`] frees where there is none for a connection.
    reserve: Mutex<Option<OwnedFd>>,
    /// Whether no other process listens with the same socket.
    is_ours: bool,
    pass_rights: PassRights,
    /// Whether it accepts fds while many wait to be closed.
    keeps_accepting_fds: bool,
    /// The setting of new connections.
    passing: Passing,
    /// Whether there may be clients who connected before the socket had our setting.
    has_early_clients: AtomicBool,
    predecessor: Option<Peer>,
    /// A takeover whose predecessor still serves.
    pending_takeover: Option<PendingTakeover>,
    accepts: PhantomData<fn() -> S>,
}

impl<S: ConnectedSocket> SocketListener<S> {
    /// Listens with a claimed socket.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is of another kind; the error names the type
    /// for that. Otherwise as epoll_ctl(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_claim(claim: Claim) -> io::Result<Self> {
        claim.must_be(S::KIND)?;
        rustix::io::ioctl_fionbio(&claim, true)?;
        // A duplicate, so that the claim is whole until nothing can fail any more.
        let socket = claim.as_fd().try_clone_to_owned()?;
        let allows_fd_passing = claim.allows_fd_passing();
        let mut listener = Self::new(socket, claim.into_ownership())?;
        listener.set_fd_passing(allows_fd_passing, false)?;
        listener.is_ours = true;
        Ok(listener)
    }

    /// Adopts a listening fd that another process has bound, and may listen on too. Its file is never
    /// removed and the socket never shut down. It is made close-on-exec, and, for all who share it,
    /// non-blocking and refusing fds ([`Self::allow_fd_passing`]).
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::listener(fd.as_fd(), S::KIND)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let mut listener = Self::new(fd, None).map_err(AdoptError::Io)?;
        listener.allow_fd_passing(false).map_err(AdoptError::Io)?;
        Ok(listener)
    }

    #[track_caller]
    fn new(socket: OwnedFd, ownership: Option<Ownership>) -> io::Result<Self> {
        Ok(Self {
            ownership,
            reserve: Mutex::new(Some(new_reserve()?)),
            io: socket::register(socket, Interest::READABLE)?,
            older: OlderSockets::default(),
            is_ours: false,
            pass_rights: PassRights::new(false),
            keeps_accepting_fds: false,
            passing: Passing::Unchecked,
            has_early_clients: AtomicBool::new(false),
            predecessor: None,
            pending_takeover: None,
            accepts: PhantomData,
        })
    }

    /// The next connection.
    ///
    /// The connection is registered with epoll when it has to wait for the first time, which panics
    /// outside of a tokio runtime.
    ///
    /// # Errors
    /// As accept(2). `EINVAL` where the socket was shut down, for which accept(2) of a non-blocking
    /// socket reports `EAGAIN`.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<S> {
        loop {
            self.regulate();
            tokio::select! {
                biased;
                accepted = self.accept_any() => return self.connected(accepted?),
                () = self.pass_rights.resumed() => {}
            }
        }
    }

    async fn accept_any(&self) -> io::Result<OwnedFd> {
        if self.older.is_empty() {
            return accept_at(&self.io).await;
        }
        // Only a server has older sockets, and it alone accepts.
        poll_fn(|cx| match self.older.poll_accept(cx) {
            Poll::Pending => poll_accept(&self.io, cx),
            accepted => accepted,
        })
        .await
    }

    /// A connection from the backlog; `None` where it is empty.
    ///
    /// # Errors
    /// As accept(2).
    pub fn try_accept(&self) -> io::Result<Option<S>> {
        self.regulate();
        let mut accepted = self.accept_any_now();
        if !matches!(accepted, Ok(_) | Err(Errno::AGAIN)) {
            accepted = self.accept_with_reserve();
        }
        match accepted {
            Ok(fd) => self.connected(fd).map(Some),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn accept_any_now(&self) -> Result<OwnedFd, Errno> {
        match self.older.accept_now() {
            Err(Errno::AGAIN) => accept_now(&self.io),
            accepted => accepted,
        }
    }

    /// Frees the reserve for another attempt. Otherwise a drain without a free fd could not tell an
    /// empty backlog from a client: once the socket is shut down, poll(2) calls it readable.
    fn accept_with_reserve(&self) -> Result<OwnedFd, Errno> {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        drop(reserve.take());
        let accepted = self.accept_any_now();
        *reserve = new_reserve().ok();
        accepted
    }

    /// Waits until the listener is readable, without accepting.
    ///
    /// # Errors
    /// As poll(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        socket::readable(&self.io).await
    }

    /// Whether a connection is in the backlog.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_readable(&self) -> io::Result<bool> {
        socket::is_readable(self.as_fd())
    }

    /// Whether a connection is in the backlog of a socket that has lost its file.
    pub(crate) fn has_older_readable(&self) -> bool {
        self.older.is_readable()
    }

    /// As [`Claim::unsafe_parent`].
    #[must_use]
    pub fn unsafe_parent(&self) -> Option<PathBuf> {
        self.ownership.as_ref()?.unsafe_parent()
    }

    /// Refuses new connections: the socket file is removed, and connect(2) fails on abstract names and
    /// hard links too. The backlog can still be accepted, and the lock is still held.
    ///
    /// An adopted listener is left unchanged; others may listen on it. So is one for TCP or vsock, whose
    /// backlog would be reset.
    ///
    /// # Errors
    /// As unlink(2), where the file could not be removed; new connections are refused all the same.
    /// As shutdown(2).
    #[doc(alias = "SHUT_RD")]
    #[doc(alias = "graceful shutdown")]
    pub fn refuse_new_clients(&mut self) -> io::Result<()> {
        let unlinked = match &mut self.ownership {
            Some(ownership) => ownership.unlink(),
            None => Ok(()),
        };
        if self.can_refuse_clients() {
            for io in self.older.sockets().chain([&self.io]) {
                rustix::net::shutdown(io, Shutdown::Read)?;
            }
        }
        Ok(unlinked?)
    }

    /// Refuses new clients of TCP too, which resets what is in the backlog. vsock(7) cannot.
    pub(crate) fn reset_backlog(&self) {
        if self.is_ours && S::KIND.is_none() {
            let _ = rustix::net::shutdown(self, Shutdown::Read);
        }
    }

    /// Whether [`Self::refuse_new_clients`] ends the growth of the backlog.
    pub(crate) fn can_refuse_clients(&self) -> bool {
        self.is_ours && S::KIND.is_some()
    }
}

/// Any fd that keeps nothing else alive.
fn new_reserve() -> Result<OwnedFd, Errno> {
    eventfd(0, EventfdFlags::CLOEXEC)
}

async fn accept_at(io: &AsyncFd<OwnedFd>) -> io::Result<OwnedFd> {
    loop {
        let mut ready = io.readable().await?;
        if let Some(accepted) = accept_ready(io, &mut ready) {
            return accepted;
        }
    }
}

fn poll_accept(io: &AsyncFd<OwnedFd>, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
    loop {
        let mut ready = ready!(io.poll_read_ready(cx))?;
        if let Some(accepted) = accept_ready(io, &mut ready) {
            return Poll::Ready(accepted);
        }
    }
}

/// `None` where the backlog is empty.
fn accept_ready(
    io: &AsyncFd<OwnedFd>,
    ready: &mut AsyncFdReadyGuard<'_, OwnedFd>,
) -> Option<io::Result<OwnedFd>> {
    match accept_now(io) {
        Ok(fd) => Some(Ok(fd)),
        Err(Errno::AGAIN) if ready.ready().is_read_closed() => Some(Err(Errno::INVAL.into())),
        Err(Errno::AGAIN) => {
            ready.clear_ready();
            None
        }
        Err(errno) => Some(Err(errno.into())),
    }
}

fn accept_now(io: &AsyncFd<OwnedFd>) -> Result<OwnedFd, Errno> {
    match accept_with(io, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        // accept(2) takes an fd before it looks at the backlog.
        Err(Errno::MFILE | Errno::NFILE)
            if matches!(socket::is_readable(io.as_fd()), Ok(false)) =>
        {
            Err(Errno::AGAIN)
        }
        accepted => accepted,
    }
}

impl SocketListener<Stream> {
    /// Adopts a listener of the standard library.
    ///
    /// # Errors
    /// As [`Listener::adopt`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_std(listener: StdListener) -> Result<Self, AdoptError> {
        Self::adopt(listener.into())
    }

    /// A blocking listener, with the address that it owns. `OwnedFd::from` makes an fd of
    /// [`BlockingListener::into_std`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before the last step of a takeover ([`Self::begin`]): the
    /// predecessor accepts from the same socket, and would block. As ioctl(2) `FIONBIO`.
    pub fn into_blocking(self) -> io::Result<BlockingListener> {
        if self.is_pending() {
            let why =
                "the predecessor still serves; complete the takeover with SocketListener::begin";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let socket = self.io.into_inner();
        rustix::io::ioctl_fionbio(&socket, false)?;
        if self.is_ours {
            Ok(BlockingListener::new(self.ownership, socket))
        } else {
            BlockingListener::adopted(socket)
        }
    }
}

// As tokio's sockets: a panic leaves none of its state half-changed.
impl<S> UnwindSafe for SocketListener<S> {}
impl<S> RefUnwindSafe for SocketListener<S> {}

impl<S> AsFd for SocketListener<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(SocketListener<S>, S);

impl<S> fmt::Debug for SocketListener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketListener")
            .field("io", &self.io)
            .field("owns_path", &self.ownership.is_some())
            .finish_non_exhaustive()
    }
}
