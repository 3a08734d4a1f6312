//! An incomplete message of [`Messages`] during a wait: parked where the server can evict it.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, Waker};

use super::arrivals::Arrivals;
use super::transport::MessageReader;
use super::{FIRST_ROOM, Messages};
use crate::peer::Peer;
use crate::scratch;
use crate::server::LimitError;
use crate::server::budget::{Amount, Hold};
use crate::server::counters::ServerSide;
use bytes::BytesMut;

/// An incomplete message, parked.
pub(super) struct Begun {
    pub(super) buffer: BytesMut,
    arrivals: Option<Box<Arrivals>>,
}

impl<S: MessageReader> Messages<S> {
    /// Fails once the incomplete message has passed its deadline.
    pub(super) fn enforce_message_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let server = self.connection.server();
        let Some(limit) = server.and_then(ServerSide::message_timeout) else {
            return Ok(());
        };
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(LimitError::MessageTimeout { limit }.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Parks an incomplete message, before this task waits for its rest or to send `to_send` bytes.
    ///
    /// # Errors
    /// [`LimitError`] where it was evicted, and is lost.
    pub(super) fn park(&mut self, waker: &Waker, to_send: usize) -> io::Result<()> {
        // The room has doubled as the message grew.
        let most = self.buffer.len() + self.room_for_more();
        if self.buffer.capacity() > most {
            let mut smaller = BytesMut::with_capacity(most);
            smaller.extend_from_slice(&self.buffer);
            self.buffer = smaller;
        }
        let Some(server) = self.connection.server() else {
            return Ok(());
        };
        let amount = Amount {
            bytes: self.buffer.capacity() + to_send,
            fds: self
                .arrivals
                .as_ref()
                .map_or(0, |arrivals| arrivals.count()),
        };
        let begun = Begun {
            buffer: std::mem::take(&mut self.buffer),
            arrivals: self.arrivals.take(),
        };
        let new = || Hold::new(server.budget(), Peer::of(&self.connection));
        let hold = self.hold.get_or_insert_with(new);
        let parked = hold.park(begun, amount, waker);
        parked.inspect_err(|_| self.connection.mark_aborted())
    }

    /// The room that a parked message keeps free. Without any, each read of a byte would copy the whole
    /// message. It grows with the message, so that all copies together are as long as a few messages,
    /// and is no more than the message may still need.
    pub(super) fn room_for_more(&self) -> usize {
        let length = self.buffer.len();
        let room = (length / 8).max(length.clamp(FIRST_ROOM, scratch::SIZE));
        room.min(self.codec.limit().saturating_sub(length))
    }

    /// Takes back what was parked.
    ///
    /// # Errors
    /// [`LimitError`] where it was evicted.
    pub(super) fn unpark(&mut self) -> io::Result<()> {
        let Some(hold) = &mut self.hold else {
            return Ok(());
        };
        let taken = hold.take().inspect_err(|_| self.connection.mark_aborted());
        if let Some(begun) = taken? {
            (self.buffer, self.arrivals) = (begun.buffer, begun.arrivals);
        }
        Ok(())
    }
}
