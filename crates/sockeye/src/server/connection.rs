//! [`Connection`]: a stream in the hands of its handler.

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

use super::budget::Budget;
use super::counters::{ConnectionGuard, ConnectionOutcome};
use super::latch::LatchWaiter;
use super::timeouts::{Deadlines, Timeouts, enforce_deadlines};
use crate::ancillary::{Received, RecvError, SendError, pass_descriptors};
use crate::lazy_async_fd::{Direction, ReadOutcome};
use crate::listener::ConnectedSocket;
use crate::packet::SeqPacket;
use crate::passing::Passing;
use crate::peer::Peer;
use crate::stream::Stream;

/// A connection of a [`Server`](super::Server): a [`Stream`] or a [`SeqPacket`] that holds its place
/// in the limits until it is dropped, and whose reads and writes end with
/// [`io::ErrorKind::TimedOut`] when one of the server's timeouts has passed.
#[derive(Debug)]
pub struct Connection<S: AsFd = Stream> {
    // Dropped in this order: the descriptor is free before the place is.
    /// There until it is dropped or taken apart, as `guard` is.
    socket: Option<S>,
    deadlines: Option<Box<Deadlines>>,
    guard: Option<ConnectionGuard>,
}

/// A connection's place in the limits and in the report, held until it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit(
    #[expect(dead_code, reason = "what it does it does when it is dropped")] ConnectionGuard,
);

const TAKEN: &str = "only a drop and into_parts take it";

impl<S: AsFd> Connection<S> {
    fn held(&self) -> &S {
        match &self.socket {
            Some(socket) => socket,
            None => unreachable!("{TAKEN}"),
        }
    }

    fn socket_mut(&mut self) -> &mut S {
        match &mut self.socket {
            Some(socket) => socket,
            None => unreachable!("{TAKEN}"),
        }
    }

    fn guard(&self) -> &ConnectionGuard {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("{TAKEN}"),
        }
    }

    fn guard_mut(&mut self) -> &mut ConnectionGuard {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("{TAKEN}"),
        }
    }
}

impl<S: AsFd> Drop for Connection<S> {
    fn drop(&mut self) {
        if let (Some(socket), Some(guard)) = (&self.socket, &mut self.guard) {
            let over = self.deadlines.as_ref().and_then(|deadlines| deadlines.over);
            guard.look_at(socket.as_fd(), over);
        }
    }
}

impl<S: ConnectedSocket> Connection<S> {
    pub(super) fn new(socket: S, timeouts: Timeouts, mut guard: ConnectionGuard) -> Self {
        guard.state = ConnectionOutcome::Busy;
        Self {
            socket: Some(socket),
            deadlines: Deadlines::new(timeouts),
            guard: Some(guard),
        }
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// Cancelled when the server begins to shut down: finish what is begun, then return.
    #[must_use]
    pub fn shutdown_token(&self) -> CancellationToken {
        // A child: cancelling it must not look like a shutdown to other connections.
        self.guard().counters().drain.token().child_token()
    }

    /// Tells the server whether nothing is under way. A connection that is dropped in a drain while it
    /// is idle counts as drained, not as aborted, unless there is something in it that was not
    /// received. After [`set_broken`](Self::set_broken) this changes nothing.
    pub fn set_idle(&mut self, idle: bool) {
        let state = &mut self.guard_mut().state;
        *state = match (*state, idle) {
            (ConnectionOutcome::Broken, _) => ConnectionOutcome::Broken,
            (_, true) => ConnectionOutcome::Idle,
            (_, false) => ConnectionOutcome::Busy,
        };
    }

    /// Tells the server that something which the peer has sent is lost, or the answer to it, since
    /// the connection is closed on our side: it counts as aborted when it is dropped, in a drain or
    /// not. [`Messages`](super::Messages), [`Records`](super::Records) and [`echo()`](super::echo())
    /// do so where a limit of the server has ended it.
    pub fn set_broken(&mut self) {
        self.guard_mut().state = ConnectionOutcome::Broken;
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.guard().counters().budget
    }

    /// How long a message may take from its first byte on.
    pub(super) fn message_timeout(&self) -> Option<Duration> {
        self.guard().counters().message_timeout
    }

    pub(super) fn drain_signal(&self) -> LatchWaiter {
        LatchWaiter::new(&self.guard().counters().drain)
    }

    /// Cancelled when the time for draining is over: end what is begun, within the time of
    /// [`Server::abort_grace`](super::Server::abort_grace).
    #[must_use]
    pub fn abort_token(&self) -> CancellationToken {
        self.guard().counters().abort.token().child_token()
    }

    /// Takes the socket out, without the server's timeouts: it can be closed, or handed to another
    /// process, while the connection keeps its place in the limits.
    #[must_use]
    pub fn into_parts(mut self) -> (S, ConnectionPermit) {
        // Nothing that somebody else may still receive is refused when it is closed here.
        self.socket_mut().set_passing(Passing::Plain);
        match (self.socket.take(), self.guard.take()) {
            (Some(socket), Some(guard)) => (socket, ConnectionPermit(guard)),
            _ => unreachable!("{TAKEN}"),
        }
    }

    /// Has the kernel let descriptors in, if the listener has not.
    pub(super) fn take_descriptors(&mut self) {
        if self.socket().passing() != Passing::Takes {
            // Where that fails none come.
            let _ = pass_descriptors(self.socket(), true);
            self.socket_mut().set_passing(Passing::Takes);
        }
    }

    /// The socket, without the server's timeouts.
    #[must_use]
    pub fn socket(&self) -> &S {
        self.held()
    }

    fn moved(&mut self, direction: Direction) {
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.moved(direction);
        }
    }

    fn enforce_deadlines<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        enforce_deadlines(&mut self.deadlines, cx, direction, result)
    }
}

impl Connection {
    pub(super) fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        let received = self.socket_mut().poll_recv(cx, try_recv);
        self.enforce_deadlines(cx, Direction::Read, received)
    }

    /// Sends what there is room for, asking the kernel and not the runtime.
    pub(super) fn send_now(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let count = rustix::net::send(self.held(), bytes, flags)?;
        self.moved(Direction::Write);
        Ok(count)
    }
}

impl Connection<SeqPacket> {
    /// Receives one record with what came along, as [`SeqPacket::recv_msg`] does.
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
        let received = self.socket_mut().poll_recv_msg(cx, buffer).map(Ok);
        self.enforce_deadlines(cx, Direction::Read, received)
            .map(|received| received?)
    }

    /// Sends one record and duplicates of `descriptors`.
    ///
    /// # Errors
    /// [`SendError`], and [`io::ErrorKind::TimedOut`] where the peer takes nothing for as long as
    /// the server's idle timeout; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(
        &mut self,
        record: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let Self {
            socket, deadlines, ..
        } = self;
        let Some(socket) = socket else {
            unreachable!("{TAKEN}")
        };
        let mut sent = pin!(socket.send_msg(record, descriptors));
        poll_fn(|cx| {
            let sent = sent.as_mut().poll(cx).map(Ok);
            enforce_deadlines(deadlines, cx, Direction::Write, sent).map(|sent| sent?)
        })
        .await
    }
}

impl<S: AsFd> AsFd for Connection<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held().as_fd()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(self.socket_mut()).poll_read(cx, buffer);
        self.enforce_deadlines(cx, Direction::Read, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.socket_mut()).poll_write(cx, bytes);
        self.enforce_deadlines(cx, Direction::Write, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.socket_mut()).poll_write_vectored(cx, slices);
        self.enforce_deadlines(cx, Direction::Write, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.held().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket_mut()).poll_shutdown(cx)
    }
}
