//! [`Stream`]: a connected UNIX stream socket on tokio, with fd passing and half-close.
//!
//! ```
//! use sockeye::{Shutdown, Stream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut left, mut right) = Stream::pair()?;
//! left.write_all(b"question").await?;
//! left.shutdown(Shutdown::Write)?; // half-close: the peer reads to EOF and can still answer
//! let mut question = String::new();
//! right.read_to_string(&mut question).await?;
//! right.write_all(b"answer").await?;
//! let mut buffer = [0; 64];
//! let received = left.recv_msg(&mut buffer).await?.expect("not EOF");
//! assert_eq!(&buffer[..received.bytes], b"answer");
//! assert!(received.descriptors.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! How a byte gets from recvmsg(2) to a task is drawn in `recv.rs`.

mod halves;
mod readiness;
mod sending;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{Shutdown, SocketFlags};
use tokio::io::{AsyncRead, Interest, ReadBuf};

pub use self::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub(crate) use self::readiness::{try_read, try_write};
pub(crate) use self::sending::{
    half_close, poll_send, poll_send_msg, poll_send_vectored, try_send, try_send_vectored,
};
use crate::address::Kind;
use crate::adopt::{self, AdoptError};
use crate::ancillary::{Received, RecvError, SendError};
use crate::busy_poll::BusyPoll;
use crate::lazy_async_fd::{LazyAsyncFd, ReadOutcome};
use crate::passing::Passing;
use crate::peer::Peer;
use crate::{recv, socket};

/// A connected UNIX stream socket on a tokio runtime.
///
/// Reads and writes as tokio's own: [`AsyncRead`] and [`AsyncWrite`](tokio::io::AsyncWrite), with
/// vectored writes. `AsyncWriteExt::shutdown` half-closes: the peer reads to EOF and can still answer.
///
/// # Differences from tokio's `UnixStream`
///
/// - A stream waits for reading alone until a send would block, so that reads of the peer do not wake
///   this side. Hence [`Self::writable`] and [`Self::ready`] take `&mut self`; halves take `&self`.
/// - A readiness call waits for the kernel's answer, also on a new stream. tokio's returns at once on
///   one that is new: it assumes that there is room, and on an accepted one that there is something to
///   read.
/// - [`Connector`](crate::Connector) makes the connection. It returns as soon as the client is in the
///   backlog: if the listener closes before it accepts, the first read fails with `ECONNRESET`.
/// - The peer credentials (`peer_cred`) are [`Self::peer`].
/// - Neither tokio's `poll_read_ready` nor `poll_write_ready` is here: a future of one's own calls
///   `poll_read` and `poll_write`. Nor are `try_read_vectored`, which has no counterpart in
///   [`AsyncRead`], and `reunite`: [`Self::split`] only borrows.
#[doc(alias = "half-close")]
#[doc(alias = "UnixStream")]
#[derive(Debug)]
pub struct Stream {
    io: LazyAsyncFd,
    busy: Option<Box<BusyPoll>>,
}

impl Stream {
    /// A connected pair (socketpair(2)). Tests may use it with a paused clock (`tokio::time::pause`): it
    /// does not jump to the next timer while bytes are on their way (tokio 1.53.3, or 1.51.6, and later).
    ///
    /// ```
    /// # use sockeye::Stream;
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let (mut left, mut right) = Stream::pair()?;
    /// left.write_all(b"hello").await?;
    /// drop(left);
    /// let mut text = String::new();
    /// right.read_to_string(&mut text).await?;
    /// assert_eq!(text, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[doc(alias = "socketpair")]
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::Stream, SocketFlags::NONBLOCK)?;
        Ok((
            Self::from_nonblocking(left)?,
            Self::from_nonblocking(right)?,
        ))
    }

    /// Adopts a file descriptor of a connected UNIX stream socket. It is made close-on-exec, and
    /// non-blocking for every process that shares it.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::connected(fd.as_fd(), Kind::Stream)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::from_nonblocking(fd).map_err(AdoptError::Io)
    }

    /// Adopts a stream of the standard library.
    ///
    /// # Errors
    /// As [`Stream::adopt`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_std(stream: StdStream) -> Result<Self, AdoptError> {
        Self::adopt(stream.into())
    }

    #[track_caller]
    pub(crate) fn from_nonblocking(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            io: LazyAsyncFd::registered(fd, false)?,
            busy: None,
        })
    }

    /// Takes a new non-blocking fd, which is registered with epoll(7) once it has to wait.
    pub(crate) fn from_accepted(fd: OwnedFd, passing: Passing) -> Self {
        Self {
            io: LazyAsyncFd::new(fd, passing),
            busy: None,
        }
    }

    /// Turns it into a blocking stream of the standard library, and that into an fd with
    /// `OwnedFd::from`.
    ///
    /// # Errors
    /// As ioctl(2) `FIONBIO`.
    pub fn into_std(self) -> io::Result<StdStream> {
        let stream = StdStream::from(OwnedFd::from(self.io));
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Busy polls before a read sleeps. The halves of a split stream do not.
    ///
    /// It asks the socket itself: the runtime does not ask the kernel again before epoll(7) reports
    /// readiness. Between attempts the task yields to others that are ready.
    pub fn set_busy_poll(&mut self, busy: BusyPoll) {
        self.busy = Some(Box::new(busy));
    }

    /// The peer credentials (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// The name that the socket is bound to, as getsockname(2) has it: at a server's end that of the
    /// listener, at a client's end mostly none.
    ///
    /// # Errors
    /// As dup(2) and getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.as_fd())
    }

    /// The name that the peer is bound to, as getpeername(2) has it. Most clients have none; who they
    /// are tells [`Stream::peer`].
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        socket::peer_addr(self.as_fd())
    }

    /// Shuts down one direction or both: with [`Shutdown::Write`] the peer reads to EOF and can still
    /// answer; after [`Shutdown::Read`] its writes fail with `EPIPE`, and what it has sent can still be
    /// read.
    ///
    /// `AsyncWriteExt::shutdown(&mut stream)` is `Shutdown::Write`.
    ///
    /// # Errors
    /// As shutdown(2).
    #[doc(alias = "half-close")]
    #[doc(alias = "SHUT_RD")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, how)?)
    }

    /// Sends all bytes, and duplicates of the fds in `descriptors` with the first byte
    /// (`SCM_RIGHTS`).
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then, unless the connection broke in between.
    ///
    /// # Cancel safety
    /// None: part of the bytes may have been sent, with the fds.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn send_msg(
        &mut self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        self.share();
        sending::send_msg(&self.io, bytes, descriptors).await
    }

    /// Receives into `buffer` the bytes that are queued, with their ancillary data; `None` at EOF, or
    /// if `buffer` is empty. Plain reads close received fds.
    ///
    /// # Errors
    /// [`RecvError`]
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        recv_msg(&self.io, buffer).await
    }

    /// Calls `try_recv` until it does not fail with `EAGAIN`; the read path is drawn in `recv.rs`.
    pub(crate) fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        recv::poll_recv(&mut self.io, &mut self.busy, cx, try_recv)
    }

    /// To read, and after [`Self::share`] to write too. It does not busy poll.
    pub(crate) fn io(&self) -> &LazyAsyncFd {
        &self.io
    }

    pub(crate) fn into_io(self) -> LazyAsyncFd {
        self.io
    }

    pub(crate) fn share(&mut self) {
        self.io.share();
    }

    pub(crate) fn passing(&self) -> Passing {
        self.io.passing()
    }

    pub(crate) fn set_passing(&mut self, passing: Passing) {
        self.io.set_passing(passing);
    }

    /// Splits it into halves that borrow it, to read and write in one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.share();
        (ReadHalf(&self.io), WriteHalf(&self.io))
    }

    /// Splits it into halves for two tasks. Dropping the write half half-closes the stream.
    #[must_use]
    pub fn into_split(mut self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.share();
        halves::owned(self.io)
    }
}

impl From<Stream> for OwnedFd {
    /// The fd, which is non-blocking; [`Stream::into_std`] makes it block.
    fn from(stream: Stream) -> Self {
        stream.io.into()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let passing = self.io.passing();
        self.poll_recv(cx, |fd| recv::try_recv_bytes(fd, buffer, passing))
            .map_ok(drop)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(Stream);

async fn recv_msg(io: &LazyAsyncFd, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
    let passing = io.passing();
    let try_recv =
        |fd: BorrowedFd<'_>| RecvError::split_would_block(recv::try_recv_msg(fd, buffer, passing));
    io.io(Interest::READABLE, try_recv).await?
}
