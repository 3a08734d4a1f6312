//! What `http` needs of a connection.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BufMut;

use super::Connection;
use crate::lazy_async_fd::Direction;
use crate::recv;
use crate::server::Server;
use crate::server::connection_drain::ConnectionDrain;
use crate::server::latch::LatchWaiter;

impl Connection {
    /// Receives bytes, which end where `buffer` is full. Fds are closed.
    pub(crate) fn poll_recv_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
        has_timeouts: bool,
    ) -> Poll<io::Result<usize>> {
        self.core.check_abort()?;
        let socket = self.core.socket_mut();
        let passing = socket.passing();
        let received = socket.poll_recv(cx, |fd| recv::try_recv_bytes(fd, buffer, passing));
        if has_timeouts || received.is_ready() {
            return self.enforce(cx, Direction::Read, received);
        }
        let waiting = &mut self.waiting[Direction::Read as usize];
        self.core.or_aborted(waiting, cx, received)
    }

    /// Whether a wait for input may end by a timeout.
    pub(crate) fn has_timeouts(&self) -> bool {
        self.core.activity().is_some()
    }

    /// Notes whether a request is under way.
    pub(crate) fn note_between(&mut self, is_between: bool) {
        self.note_idle(is_between);
    }

    /// Woken when a drain begins.
    pub(crate) fn on_drain(&self) -> LatchWaiter {
        self.drain_signal()
    }

    /// Waits until the peer has closed both directions. Not beside a wait to read.
    pub(crate) fn poll_peer_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.io().poll_peer_gone(cx)
    }

    /// While nobody reads: waits for the abort at the drain timeout.
    pub(crate) fn poll_aborted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.core.check_abort()?;
        let waiting = &mut self.waiting[Direction::Read as usize];
        self.core.or_aborted(waiting, cx, Poll::Pending)
    }

    /// As [`ConnectionDrain::poll_read_again`].
    pub(crate) fn poll_read_again(
        &self,
        cx: &mut Context<'_>,
        drain: &mut ConnectionDrain,
    ) -> Poll<io::Result<()>> {
        drain.poll_read_again(cx, self.core.io())
    }

    /// Shuts down reading in a drain; whether nothing is left to read then.
    pub(crate) fn shut_reading(&self, drain: &mut ConnectionDrain) -> io::Result<bool> {
        drain.close_to_peer(self.as_fd())?;
        Ok(!crate::sys::message::peek::has_unread(self.as_fd()))
    }
}

impl Server {
    /// What [`Server::first_byte_timeout`] has set.
    pub(crate) fn first_byte(&self) -> Option<Duration> {
        self.timeouts.first_byte
    }
}
