//! [`Connection`]: a stream or seqpacket socket with its permit, timeouts and shutdown tokens.

mod attempts;
mod core;
mod halves;
#[cfg(feature = "http")]
mod http;
mod pair;
mod seqpacket;
mod stream;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::halves::{
    ConnectionReadHalf, ConnectionWriteHalf, OwnedConnectionReadHalf, OwnedConnectionWriteHalf,
};
pub use self::pair::DrainHandle;
use super::budget::Budget;
use super::counters::{ConnectionGuard, ConnectionOutcome, ServerSide};
use super::latch::LatchWaiter;
use super::timeouts::{Activity, Timeouts, Waiting};
use crate::ancillary::pass_descriptors;
use crate::lazy_async_fd::Direction;
use crate::listener::ConnectedSocket;
use crate::passing::Passing;
use crate::peer::Peer;
use crate::stream::Stream;
use core::ConnectionCore;

/// A connection of a [`Server`](super::Server): a [`Stream`], a [`SeqPacket`](crate::SeqPacket) or a
/// [`NetStream`](crate::NetStream) that counts for the
/// connection limits until it is dropped, and whose reads and writes fail with
/// [`io::ErrorKind::TimedOut`] when one of the server's timeouts has passed, and with
/// [`LimitError::Aborted`](super::LimitError::Aborted) once a drain is over.
///
/// [`Messages`](super::Messages) reads it message by message, and drains between two. Any codec of
/// tokio-util works too, and drains where its handler says:
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use sockeye::{Connection, Framed};
/// use tokio_util::codec::{LinesCodec, LinesCodecError};
///
/// async fn echo(connection: Connection) -> Result<(), LinesCodecError> {
///     let shutdown = connection.shutdown_token();
///     let mut lines = Framed::new(connection, LinesCodec::new_with_max_length(1000));
///     while let Some(Some(line)) = shutdown.run_until_cancelled(lines.next()).await {
///         lines.send(line?).await?;
///     }
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (connection, client, handle) = Connection::pair()?;
/// let handler = tokio::spawn(echo(connection));
/// let mut client = Framed::new(client, LinesCodec::new());
/// client.send("hello").await?;
/// assert_eq!(client.next().await.expect("no EOF")?, "hello");
/// handle.drain();
/// handler.await??;
/// # Ok(())
/// # }
/// ```
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
pub struct ConnectionPermit(ConnectionGuard);

impl ConnectionPermit {
    /// As [`Connection::mark_aborted`].
    pub fn mark_aborted(&self) {
        self.0.mark_aborted();
    }
}

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

    /// Marks the connection as idle, or as busy with a message. One that is idle when a drain ends counts
    /// as drained, not as aborted, unless there is unread input, or a send that waits for the peer.
    ///
    /// One that a task still holds when [`Server::run`](super::Server::run) returns counts as if it were
    /// dropped then. After [`mark_aborted`](Self::mark_aborted) this changes nothing.
    pub fn set_idle(&mut self, idle: bool) {
        self.core.mark_idle(idle);
    }

    /// Notes that no message is in progress yet.
    pub(super) fn begin_idle(&mut self) {
        self.core.begin_idle();
    }

    /// Notes whether a message is in progress.
    pub(super) fn note_idle(&mut self, idle: bool) {
        self.core.guard_mut().note_idle(idle);
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

    /// The server that it belongs to.
    pub(super) fn server(&self) -> ServerSide<'_> {
        ServerSide(self.core.counters())
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

    /// Separates the socket, which has no timeouts then and is not ended by a drain, from its permit. It
    /// can be closed or passed to another process while the connection still counts for the limits.
    #[doc(alias = "fd passing")]
    pub fn into_parts(mut self) -> (S, ConnectionPermit) {
        // Another process may still receive fds that are queued: closing it here must not refuse them.
        self.core.socket_mut().set_passing(Passing::Unchecked);
        let (socket, guard) = self.core.into_parts();
        (socket, ConnectionPermit(guard))
    }

    /// Takes it apart for a relay, which applies the timeouts itself: first-byte and idle timeout.
    pub(crate) fn into_relayed(self) -> (S, ConnectionPermit, [Option<Duration>; 2]) {
        let timeouts = self
            .core
            .activity()
            .map_or([None, None], Activity::timeouts);
        let (socket, guard) = self.core.into_parts();
        (socket, ConnectionPermit(guard), timeouts)
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

    fn enforce<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let waiting = &mut self.waiting[direction as usize];
        self.core.enforce(waiting, cx, direction, result)
    }
}

impl<S: AsFd> AsFd for Connection<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(Connection<S>, S: AsFd);
