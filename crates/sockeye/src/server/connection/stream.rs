//! A stream [`Connection`]: reads and writes with the server's timeouts, and its halves.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::attempts::try_recv_msg;
use super::halves::{
    self, ConnectionReadHalf, ConnectionWriteHalf, OwnedConnectionReadHalf,
    OwnedConnectionWriteHalf,
};
use crate::ancillary::{Received, RecvError, SendError};
use crate::lazy_async_fd::{Direction, ReadOutcome};
use crate::listener::ConnectedSocket;

impl Connection {
    /// Splits it into halves that borrow it, to read and write in one task.
    pub fn split(&mut self) -> (ConnectionReadHalf<'_>, ConnectionWriteHalf<'_>) {
        self.core.socket_mut().share();
        halves::borrowed(&self.core, &mut self.waiting)
    }

    /// Splits it into halves for two tasks. They share its permit and its timeouts: it counts as
    /// open until both are dropped, and what one of them sends keeps the other from being idle.
    /// Dropping the write half half-closes the connection.
    ///
    /// ```no_run
    /// # use sockeye::server::Connection;
    /// # use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    /// # use tokio::sync::mpsc;
    /// # async fn handle(connection: Connection, mut news: mpsc::Receiver<String>) -> std::io::Result<()> {
    /// let (reader, mut writer) = connection.into_split();
    /// let sender = tokio::spawn(async move {
    ///     while let Some(news) = news.recv().await {
    ///         writer.write_all(news.as_bytes()).await?;
    ///     }
    ///     std::io::Result::Ok(())
    /// });
    /// let mut lines = BufReader::new(reader).lines();
    /// while let Some(line) = lines.next_line().await? {
    ///     println!("received {line}");
    /// }
    /// sender.abort();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_split(mut self) -> (OwnedConnectionReadHalf, OwnedConnectionWriteHalf) {
        self.core.socket_mut().share();
        halves::owned(self.core, self.waiting)
    }

    /// As [`Stream::readable`](crate::Stream::readable).
    ///
    /// # Errors
    /// As epoll_ctl(2); [`io::ErrorKind::TimedOut`] where one of the server's timeouts has passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.ready(Direction::Read).await
    }

    /// As [`Stream::writable`](crate::Stream::writable).
    ///
    /// # Errors
    /// As epoll_ctl(2); [`io::ErrorKind::TimedOut`] where the peer reads nothing for as long as the
    /// server's idle timeout.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn writable(&mut self) -> io::Result<()> {
        self.core.socket_mut().share();
        self.ready(Direction::Write).await
    }

    async fn ready(&mut self, direction: Direction) -> io::Result<()> {
        let Self { core, waiting } = self;
        let waiting = &mut waiting[direction as usize];
        poll_fn(|cx| core.poll_ready(waiting, cx, direction)).await
    }

    /// As [`Stream::try_read`](crate::Stream::try_read).
    ///
    /// # Errors
    /// As [`Stream::try_read`](crate::Stream::try_read).
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.core.try_read(buffer)
    }

    /// As [`Stream::try_write`](crate::Stream::try_write).
    ///
    /// # Errors
    /// As [`Stream::try_write`](crate::Stream::try_write).
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.core.try_write(bytes)
    }

    /// Receives the bytes that are queued, with their ancillary data, as [`Stream::recv_msg`](crate::Stream::recv_msg) does.
    /// The listener has to allow fds
    /// ([`SocketListener::allow_fd_passing`](crate::listener::SocketListener::allow_fd_passing));
    /// plain reads close them.
    ///
    /// ```no_run
    /// use std::os::fd::AsFd;
    /// # use sockeye::server::Connection;
    ///
    /// /// Sends each fd back, with what it came with.
    /// async fn handle(mut connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
    ///     let mut buffer = [0; 4096];
    ///     while let Some(received) = connection.recv_msg(&mut buffer).await? {
    ///         let fds: Vec<_> = received.descriptors.iter().map(AsFd::as_fd).collect();
    ///         connection.send_msg(&buffer[..received.bytes], &fds).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`RecvError`], and [`io::ErrorKind::TimedOut`] where one of the server's timeouts has passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn recv_msg(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let mut try_recv = try_recv_msg(self.core.io().passing(), buffer);
        poll_fn(|cx| self.poll_recv(cx, &mut try_recv)).await?
    }

    /// Sends all bytes, and duplicates of the fds in `descriptors` with the first byte.
    ///
    /// # Errors
    /// [`SendError`], and [`io::ErrorKind::TimedOut`] where the peer reads nothing for as long as
    /// the server's idle timeout.
    ///
    /// # Cancel safety
    /// None: part of the bytes may have been sent, with the fds.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn send_msg(
        &mut self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let (mut rest, mut descriptors) = (bytes, descriptors);
        poll_fn(|cx| self.poll_send_msg(cx, &mut rest, &mut descriptors)).await
    }

    pub(in crate::server) fn poll_send_msg(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut &[u8],
        descriptors: &mut &[BorrowedFd<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.core.socket_mut().share();
        let waiting = &mut self.waiting[Direction::Write as usize];
        self.core.poll_send_msg(waiting, cx, rest, descriptors)
    }

    pub(in crate::server) fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.core.check_abort()?;
        let received = self.core.socket_mut().poll_recv(cx, try_recv);
        self.enforce(cx, Direction::Read, received)
    }

    /// Sends what the socket buffer has room for, without asking for readiness.
    pub(in crate::server) fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.core.check_abort()?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let count = rustix::net::send(self.core.socket(), bytes, flags)?;
        if let Some(activity) = self.core.activity() {
            activity.moved(Direction::Write);
        }
        Ok(count)
    }
}

impl<S: ConnectedSocket + AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.core.check_abort()?;
        let read = Pin::new(self.core.socket_mut()).poll_read(cx, buffer);
        self.enforce(cx, Direction::Read, read)
    }
}

impl<S: ConnectedSocket + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.core.check_abort()?;
        let written = Pin::new(self.core.socket_mut()).poll_write(cx, bytes);
        self.enforce(cx, Direction::Write, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.core.check_abort()?;
        let written = Pin::new(self.core.socket_mut()).poll_write_vectored(cx, slices);
        self.enforce(cx, Direction::Write, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.core.socket().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.core.socket_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.core.socket_mut()).poll_shutdown(cx)
    }
}
