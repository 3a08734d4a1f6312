//! [`Records`]: a seqpacket connection read record by record.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::budget::{Amount, Hold};
use super::connection::Connection;
use super::connection_drain::{ConnectionDrain, ReadProgress};
use super::limits::is_our_loss_of_record;
use crate::ancillary::{RecvError, SendError};
use crate::packet::SeqPacket;

thread_local! {
    /// One buffer a thread, borrowed while a record is received, so that idle connections hold none.
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Receives the records of a [`Connection`], and ends at the right moment of a drain: the peer is
/// closed to first, and what has come until then is still received; a connection that has never
/// sent anything has another second.
pub struct Records {
    connection: Connection<SeqPacket>,
    limit: usize,
    drain: ConnectionDrain,
    /// The size of the record that came last.
    size: usize,
    has_yielded: bool,
}

/// A record and the descriptors that came along.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record {
    /// Its bytes; there may be none.
    pub payload: Bytes,
    /// What came along, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

impl Records {
    /// Records of at most `limit` bytes each. Every thread that serves any sets aside that much
    /// address space, so it should be what records may have, not all that a number can say.
    #[must_use]
    pub fn new(mut connection: Connection<SeqPacket>, limit: usize) -> Self {
        connection.set_idle(true);
        Self {
            drain: ConnectionDrain::new(connection.drain_signal()),
            connection,
            limit,
            size: 0,
            has_yielded: false,
        }
    }

    /// The next record; `None` at the end of input or where a drain ends the connection.
    ///
    /// # Errors
    /// [`RecvError`]; after [`RecvError::TooLong`], whose record is lost, the next one could be
    /// received, but the peer cannot know. [`io::ErrorKind::TimedOut`] where one of the server's timeouts
    /// has passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Record>, RecvError> {
        while self.drain.progress() != ReadProgress::Ended {
            self.connection.set_idle(true);
            let received = match poll_fn(|cx| self.poll_next(cx)).await {
                // The peer has closed without receiving all answers. The kernel reports that once,
                // and before the records that the peer had sent.
                Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    continue;
                }
                received => received.inspect_err(|error| self.failed(error))?,
            };
            let Some(record) = received else {
                self.drain.ended();
                continue;
            };
            self.size = record.payload.len();
            self.has_yielded = false;
            self.connection.set_idle(false);
            self.drain.came();
            return Ok(Some(record));
        }
        Ok(None)
    }

    /// Sends one record and duplicates of `descriptors`.
    ///
    /// # Errors
    /// As [`Connection::send_msg`]; [`LimitError::Buffered`](super::LimitError::Buffered) where the
    /// server has no more room for what waits: this record, and the one that it answers.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send(
        &mut self,
        record: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        {
            let mut sent = pin!(self.connection.send_msg(record, descriptors));
            let first = poll_fn(|cx| Poll::Ready(sent.as_mut().poll(cx))).await;
            if let Poll::Ready(sent) = first {
                return sent;
            }
        }
        let mut hold = Hold::new(self.connection.budget(), self.connection.peer());
        let amount = Amount {
            bytes: self.size + record.len(),
            fds: 0,
        };
        let mut is_given_up = false;
        let sent = {
            let mut sent = pin!(self.connection.send_msg(record, descriptors));
            poll_fn(|cx| match sent.as_mut().poll(cx) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => {
                    let parked = hold.park((), amount, cx.waker());
                    parked.inspect_err(|_| is_given_up = true)?;
                    Poll::Pending
                }
            })
            .await
        };
        if is_given_up {
            self.connection.set_broken();
        }
        sent
    }

    /// As [`Connection::set_broken`].
    pub fn set_broken(&mut self) {
        self.connection.set_broken();
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection<SeqPacket> {
        &self.connection
    }

    fn failed(&mut self, error: &RecvError) {
        if is_our_loss_of_record(error) {
            self.connection.set_broken();
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>, RecvError>> {
        loop {
            if let Poll::Ready(received) = self.poll_recv(cx) {
                return Poll::Ready(received);
            }
            ready!(self.drain.poll_read_again(cx, self.connection.socket()))?;
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>, RecvError>> {
        // Those who have to give up theirs come first, or all might take one more.
        if self.connection.budget().is_ending_some()
            && !std::mem::replace(&mut self.has_yielded, true)
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut buffer = SPARE.take();
        if buffer.len() < self.limit {
            // Memory that was never written to takes no room.
            buffer = vec![0; self.limit];
        }
        let received = self.connection.poll_recv_msg(cx, &mut buffer[..self.limit]);
        let record = received.map_ok(|received| {
            received.map(|received| Record {
                payload: Bytes::copy_from_slice(&buffer[..received.bytes]),
                descriptors: received.descriptors,
            })
        });
        SPARE.set(buffer);
        record
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("connection", &self.connection)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
