//! [`Connection`]: a stream or seqpacket socket with its permit, timeouts and shutdown tokens.

mod core;
mod halves;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

pub use self::halves::{
    ConnectionReadHalf, ConnectionWriteHalf, OwnedConnectionReadHalf, OwnedConnectionWriteHalf,
};
use super::budget::Budget;
use super::counters::{ConnectionGuard, ConnectionOutcome};
use super::latch::LatchWaiter;
use super::timeouts::{Timeouts, Waiting, enforce_deadlines};
use crate::ancillary::{Received, RecvError, SendError, pass_descriptors};
use crate::lazy_async_fd::{Direction, ReadOutcome};
use crate::listener::ConnectedSocket;
use crate::packet::SeqPacket;
use crate::passing::Passing;
use crate::peer::Peer;
use crate::stream::Stream;
use core::ConnectionCore;

/// A connection of a [`Server`](super::Server): a [`Stream`] or a [`SeqPacket`] that counts for the
/// connection limits until it is dropped, and whose reads and writes fail with
/// [`io::ErrorKind::TimedOut`] when one of the server's timeouts has passed.
#[derive(Debug)]
pub struct Connection<S: AsFd = Stream> {
    core: ConnectionCore<S>,
    /// The waits of both directions, once there were any.
    waiting: [Option<Box<Waiting>>; 2],
}

/// Keeps a connection counted in the limits and the report until it is dropped; from
/// [`Connection::into_parts`].
#[derive(Debug)]
#[must_use = "the connection counts for the limits until this is dropped"]
pub struct ConnectionPermit(
    #[expect(dead_code, reason = "its drop is what counts")] ConnectionGuard,
);

impl<S: ConnectedSocket> Connection<S> {
    pub(super) fn new(socket: S, timeouts: Timeouts, mut guard: ConnectionGuard) -> Self {
        guard.set_outcome(ConnectionOutcome::Busy);
        Self {
            core: ConnectionCore::new(socket, timeouts, guard),
            waiting: [None, None],
        }
    }

    /// The peer credentials (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// Cancelled when a graceful shutdown begins: finish what has begun, then return.
    #[doc(alias = "graceful shutdown")]
    #[must_use]
    pub fn shutdown_token(&self) -> CancellationToken {
        // A child token: cancelling it must not shut down other connections.
        self.core.counters().drain.token().child_token()
    }

    /// Marks the connection as idle, or as busy with a message. One that is dropped in a drain while
    /// idle counts as drained, not as aborted, unless it has unread input. After
    /// [`mark_aborted`](Self::mark_aborted) this changes nothing.
    pub fn set_idle(&mut self, idle: bool) {
        self.core.guard_mut().set_idle(idle);
    }

    /// Marks the connection as aborted by us: something that the peer has sent, or the reply to it, is
    /// lost. It counts as aborted whenever it ends.
    /// [`Messages`](super::Messages), [`Records`](super::Records) and [`echo()`](super::echo()) do so
    /// where a limit of the server has ended it.
    pub fn mark_aborted(&mut self) {
        self.core.guard().mark_aborted();
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.core.counters().budget
    }

    /// How long a message may take from its first byte on.
    pub(super) fn message_timeout(&self) -> Option<Duration> {
        self.core.counters().message_timeout
    }

    pub(super) fn drain_signal(&self) -> LatchWaiter {
        LatchWaiter::new(&self.core.counters().drain)
    }

    /// Cancelled at the drain timeout: abort what has begun, within
    /// [`Server::abort_grace`](super::Server::abort_grace).
    #[doc(alias = "cancellation")]
    #[must_use]
    pub fn abort_token(&self) -> CancellationToken {
        self.core.counters().abort.token().child_token()
    }

    /// Separates the socket, which has no timeouts then, from its permit. The socket can be closed or
    /// passed to another process while the connection still counts for the limits.
    #[doc(alias = "fd passing")]
    pub fn into_parts(mut self) -> (S, ConnectionPermit) {
        // Another process may still receive fds that are queued: closing it here must not refuse them.
        self.core.socket_mut().set_passing(Passing::Unchecked);
        let (socket, guard) = self.core.into_parts();
        (socket, ConnectionPermit(guard))
    }

    /// Has the kernel accept fds, if the listener did not.
    pub(super) fn receive_descriptors(&mut self) {
        if self.socket().passing() != Passing::Receives {
            // Where that fails, none are received.
            let _ = pass_descriptors(self.socket(), true);
            self.core.socket_mut().set_passing(Passing::Receives);
        }
    }

    /// The socket, without the server's timeouts.
    #[must_use]
    pub fn socket(&self) -> &S {
        self.core.socket()
    }

    fn enforce_deadlines<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let waiting = &mut self.waiting[direction as usize];
        enforce_deadlines(self.core.activity(), waiting, cx, direction, result)
    }
}

impl Connection {
    /// Splits it into halves that borrow it, to read and write in one task.
    pub fn split(&mut self) -> (ConnectionReadHalf<'_>, ConnectionWriteHalf<'_>) {
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
    pub fn into_split(self) -> (OwnedConnectionReadHalf, OwnedConnectionWriteHalf) {
        halves::owned(self.core, self.waiting)
    }

    pub(super) fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        let received = self.core.socket_mut().poll_recv(cx, try_recv);
        self.enforce_deadlines(cx, Direction::Read, received)
    }

    /// Sends what the socket buffer has room for, without asking for readiness.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let count = rustix::net::send(self.core.socket(), bytes, flags)?;
        if let Some(activity) = self.core.activity() {
            activity.moved(Direction::Write);
        }
        Ok(count)
    }
}

impl Connection<SeqPacket> {
    /// Receives one record with its ancillary data, as [`SeqPacket::recv_msg`] does.
    ///
    /// # Errors
    /// [`RecvError`], and [`io::ErrorKind::TimedOut`] where one of the server's timeouts has passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        poll_fn(|cx| self.poll_recv_msg(cx, buffer)).await
    }

    pub(super) fn poll_recv_msg(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<Received>, RecvError>> {
        let received = self.core.socket_mut().poll_recv_msg(cx, buffer).map(Ok);
        self.enforce_deadlines(cx, Direction::Read, received)
            .map(|received| received?)
    }

    /// Sends one record and duplicates of the fds in `descriptors`.
    ///
    /// # Errors
    /// [`SendError`], and [`io::ErrorKind::TimedOut`] where the peer reads nothing for as long as
    /// the server's idle timeout; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(
        &mut self,
        record: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let Self { core, waiting } = self;
        let waiting = &mut waiting[Direction::Write as usize];
        let mut sent = pin!(core.socket().send_msg(record, descriptors));
        poll_fn(|cx| {
            let sent = sent.as_mut().poll(cx).map(Ok);
            enforce_deadlines(core.activity(), waiting, cx, Direction::Write, sent)
                .map(|sent| sent?)
        })
        .await
    }
}

impl<S: AsFd> AsFd for Connection<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.as_fd()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(self.core.socket_mut()).poll_read(cx, buffer);
        self.enforce_deadlines(cx, Direction::Read, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.core.socket_mut()).poll_write(cx, bytes);
        self.enforce_deadlines(cx, Direction::Write, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.core.socket_mut()).poll_write_vectored(cx, slices);
        self.enforce_deadlines(cx, Direction::Write, written)
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
