//! [`Stream`]: one connection, asynchronous.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};

use crate::address::Kind;
use crate::adopt::{self, AdoptError};
use crate::ancillary::{Received, RecvError, SendError, received, recv_once, send_once};
use crate::busy_poll::{self, BusyPoll};
use crate::peer::Peer;
use crate::sys;

/// A connected UNIX stream socket on a tokio runtime.
///
/// Reads and writes as tokio's own: [`AsyncRead`] and [`AsyncWrite`] with vectored writes.
/// `AsyncWriteExt::shutdown` half-closes: the peer reads to the end and can still answer.
#[derive(Debug)]
pub struct Stream {
    io: UnixStream,
    busy: Option<Box<BusyPoll>>,
}

impl Stream {
    /// Adopts a descriptor: a connected UNIX stream socket. It is made close-on-exec and
    /// non-blocking, the latter for all who share it.
    ///
    /// # Errors
    /// [`AdoptError`] says what it is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
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
    pub fn from_std(stream: StdStream) -> Result<Self, AdoptError> {
        Self::adopt(stream.into())
    }

    pub(crate) fn from_nonblocking(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            io: UnixStream::from_std(fd.into())?,
            busy: None,
        })
    }

    /// Releases it as a blocking stream of the standard library; `OwnedFd::from` makes a bare
    /// descriptor of that.
    ///
    /// # Errors
    /// As ioctl(2) `FIONBIO`.
    pub fn into_std(self) -> io::Result<StdStream> {
        let stream = self.io.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Polls before sleeping where something is to be read. Not for the halves of a split stream.
    ///
    /// The runtime remembers that nothing was there and does not ask the kernel before epoll(7) has
    /// told otherwise, so it is the socket itself that is asked. Between a few attempts the task
    /// gives way to others that are ready.
    pub fn set_busy_poll(&mut self, busy: BusyPoll) {
        self.busy = Some(Box::new(busy));
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// Sends all bytes and duplicates of `descriptors`, which go with the first byte.
    ///
    /// # Errors
    /// [`SendError`]; before anything was sent, except that the connection may break in between.
    ///
    /// # Cancel safety
    /// None: part of the bytes may have been sent, with the descriptors.
    pub async fn send_with(
        &mut self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let send = || {
            let flags = SendFlags::DONTWAIT;
            SendError::apart(send_once(self.io.as_fd(), bytes, descriptors, None, flags))
        };
        let sent = self.io.async_io(Interest::WRITABLE, send).await??;
        Ok(self.io.write_all(&bytes[sent..]).await?)
    }

    /// Receives into `buffer` what is there, with the descriptors that came along; `None` at the end
    /// of input, or where `buffer` has no room. Plain reads close such descriptors.
    ///
    /// # Errors
    /// [`RecvError`]
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_with(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let receive = || RecvError::apart(recv_once(self.io.as_fd(), buffer, RecvFlags::DONTWAIT));
        self.io.async_io(Interest::READABLE, receive).await?
    }

    /// Receives at most `limit` bytes to the free room of `buffer`, with what came along.
    pub(crate) fn poll_recv_with(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<Option<Received>, RecvError>> {
        let Self { io, busy } = self;
        let mut receive = || {
            let flags = RecvFlags::DONTWAIT;
            let message = sys::message::receive_to_end(io.as_fd(), buffer, limit, flags)?;
            Ok(received(message, limit))
        };
        if let Some(done) = busy_poll::poll(busy, cx, &mut receive) {
            return done.map(|done| done?);
        }
        loop {
            ready!(io.poll_read_ready(cx))?;
            match io.try_io(Interest::READABLE, &mut receive) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    busy_poll::came(busy);
                    return Poll::Ready(done?);
                }
            }
        }
    }

    /// Halves that borrow the stream, for reading and writing in one task.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        self.io.split()
    }

    /// Halves for two tasks. Dropping the half for writing half-closes the stream.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.io.into_split()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, busy } = &mut *self;
        let mut receive = || Ok(sys::message::receive_bytes(io.as_fd(), buffer)?);
        if let Some(done) = busy_poll::poll(busy, cx, &mut receive) {
            return done;
        }
        let read = Pin::new(io).poll_read(cx, buffer);
        if read.is_ready() {
            busy_poll::came(busy);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
