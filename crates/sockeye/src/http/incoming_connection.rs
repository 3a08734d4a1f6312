//! [`IncomingConnection`]: a connection that a foreign server reads and writes, and that drains by itself.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::caller::Caller;
use super::wire::Wire;
use crate::server::{Connection, ConnectionDrain, LimitError};

/// How long an idle client of HTTP/2 that was asked for no more requests may take to close. What it has
/// sent before it heard that is answered.
const GOAWAY_TIMEOUT: Duration = Duration::from_millis(200);

/// A connection of [`Incoming`](super::Incoming), with its permit, its timeouts and its [`Caller`]. It follows
/// the requests and responses that pass, of HTTP/1 and HTTP/2, and so knows in a drain when it is idle:
/// then the client can send no more, and the server reads EOF.
pub struct IncomingConnection {
    connection: Connection,
    caller: Caller,
    drain: ConnectionDrain,
    wire: Wire,
    /// Whether a read waits that has to be tried again once the responses are over: for the idle timeout, or
    /// for EOF of our own making.
    awaits_idle: bool,
    head_timeout: Duration,
    /// Runs while a head, or the preface of HTTP/2, is incomplete.
    head_timer: Option<Pin<Box<Sleep>>>,
    goaway_timer: Option<Pin<Box<Sleep>>>,
}

impl IncomingConnection {
    pub(super) fn new(connection: Connection, head_timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            caller: Caller::of_connection(&connection)?,
            drain: ConnectionDrain::new(Some(connection.on_drain())),
            connection,
            wire: Wire::new(),
            awaits_idle: false,
            head_timeout,
            head_timer: None,
            goaway_timer: None,
        })
    }

    /// Who is at the other end.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// As [`Stream::peer_addr`](crate::Stream::peer_addr): most clients have no name.
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.socket().peer_addr()
    }

    /// Marks it as aborted by us.
    pub(super) fn mark_aborted(&mut self) {
        self.connection.mark_aborted();
    }

    /// While nothing can be read: `Ready` once a drain calls for another read.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.note_between(self.wire.is_idle());
        if self.wire.is_in_head() {
            self.enforce_head_timeout(cx)?;
        } else {
            self.head_timer = None;
        }
        if self.drain.poll_drains(cx) {
            self.say_goaway();
            if self.wire.is_between() {
                if self.wire.is_http2() {
                    let limit = GOAWAY_TIMEOUT;
                    let timer = self
                        .goaway_timer
                        .get_or_insert_with(|| Box::pin(sleep(limit)));
                    ready!(timer.as_mut().poll(cx));
                }
                return self.connection.poll_read_again(cx, &mut self.drain);
            }
        }
        Poll::Pending
    }

    fn enforce_head_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let limit = self.head_timeout;
        let timer = self
            .head_timer
            .get_or_insert_with(|| Box::pin(sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(LimitError::HeaderTimeout { limit }.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// In a drain, asks a client of HTTP/2 for no more requests, between two frames of the server.
    fn say_goaway(&mut self) {
        if let Some(frame) = self.wire.take_goaway() {
            // Without room it is not said: the client reads slowly, and learns it from the end.
            let _ = self.connection.try_write(&frame);
        }
    }

    /// At EOF of our own making with a response under way: `Ready` once the client has gone, or the drain
    /// is over.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.awaits_idle = true;
        if self.connection.poll_peer_gone(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.connection.poll_aborted(cx)
    }

    /// What a client that has gone has left unread is no loss of ours, as it would be between two requests.
    fn note_written(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        if written.is_err() {
            self.connection.note_between(false);
        }
        written
    }

    /// Does what had to wait for the server.
    fn after_write(&mut self, cx: &mut Context<'_>) {
        if self.wire.is_http2() && self.drain.poll_drains(cx) {
            self.say_goaway();
        }
        if self.awaits_idle && self.wire.waits_for_client() {
            self.awaits_idle = false;
            cx.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for IncomingConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let start = buffer.filled().len();
            // The time that the server takes to answer is not the client's.
            let has_timeouts = this.wire.waits_for_client();
            match this.connection.poll_recv_bytes(cx, buffer, has_timeouts) {
                Poll::Ready(Ok(0)) if this.drain.is_closing() && !this.wire.is_idle() => {
                    return this.poll_withheld(cx);
                }
                Poll::Ready(Ok(0)) => {
                    this.drain.ended();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(_)) => {
                    this.drain.came();
                    this.connection.note_between(false);
                    this.wire.receive(&buffer.filled()[start..]);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.awaits_idle = !has_timeouts;
                    ready!(this.poll_wait(cx))?;
                }
            }
        }
    }
}

impl AsyncWrite for IncomingConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write(cx, bytes));
        let count = self.note_written(written)?;
        self.wire.send(&bytes[..count]);
        self.after_write(cx);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(cx, slices));
        let count = self.note_written(written)?;
        let mut left = count;
        for slice in slices {
            let length = slice.len().min(left);
            self.wire.send(&slice[..length]);
            left -= length;
        }
        self.after_write(cx);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.is_http2() {
            // hyper has told the client which requests it has not looked at.
            self.connection.note_between(false);
        }
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

impl AsFd for IncomingConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl fmt::Debug for IncomingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingConnection")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
