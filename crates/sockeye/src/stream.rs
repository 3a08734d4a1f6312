//! [`Stream`]: one connection, asynchronous.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};

use crate::adopt::{self, AdoptError};
use crate::peer::Peer;

/// A connected UNIX stream socket on a tokio runtime.
///
/// Reads and writes as tokio's own: [`AsyncRead`] and [`AsyncWrite`] with vectored writes.
/// `AsyncWriteExt::shutdown` half-closes: the peer reads to the end and can still answer.
#[derive(Debug)]
pub struct Stream {
    io: UnixStream,
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
        adopt::stream(fd.as_fd())?;
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

    /// Who is at the other end.
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
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
        Pin::new(&mut self.io).poll_read(cx, buffer)
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
