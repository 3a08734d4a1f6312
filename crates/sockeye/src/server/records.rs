//! [`Records`]: a seqpacket connection read record by record, with a graceful shutdown between two.

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
    /// One buffer for each thread, borrowed during a read, so that idle connections hold none.
    static SPARE: Cell<Vec<u8>> = Cell::default();
}

/// Receives the records of a [`Connection`], and ends gracefully in a drain, within the drain timeout:
/// reading is shut down, and what came until then is still received. A connection that has sent nothing
/// yet may still do so for one second after [`Records::next`] has seen the drain.
pub struct Records {
    connection: Connection<SeqPacket>,
    limit: usize,
    drain: ConnectionDrain,
    /// The size of the last record.
    size: usize,
    has_yielded: bool,
}

/// A record and the fds that were passed with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record {
    /// Its bytes; there may be none.
    pub payload: Bytes,
    /// The fds, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

impl Records {
    /// Receives records of at most `limit` bytes each. Each thread that receives records reserves
    /// that much address space, so do not pass `usize::MAX`.
    #[must_use]
    pub fn new(mut connection: Connection<SeqPacket>, limit: usize) -> Self {
        connection.begin_idle();
        Self {
            drain: ConnectionDrain::new(Some(connection.drain_signal())),
            connection,
            limit,
            size: 0,
            has_yielded: false,
        }
    }

    /// The next record; `None` at EOF or where a drain ends the connection.
    ///
    /// # Errors
    /// [`RecvError`]; after [`RecvError::TooLong`] the record is lost, unknown to the peer, and the
    /// next one can be received. [`io::ErrorKind::TimedOut`] where one of the server's timeouts has
    /// passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Record>, RecvError> {
        while self.drain.progress() != ReadProgress::Ended {
            // A send that was dropped has sent nothing.
            self.connection.note_no_send();
            self.connection.note_idle(true);
            let received = match poll_fn(|cx| self.poll_next(cx)).await {
                // The peer has closed without receiving all replies. The kernel reports that once,
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
            self.connection.note_idle(false);
            self.drain.came();
            return Ok(Some(record));
        }
        Ok(None)
    }

    /// Sends one record and duplicates of the fds in `descriptors`.
    ///
    /// # Errors
    /// As [`Connection::send_msg`]; [`LimitError::Buffered`](super::LimitError::Buffered) where the
    /// server has evicted this connection while it waited to send.
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
        let mut is_evicted = false;
        let sent = {
            let mut sent = pin!(self.connection.send_msg(record, descriptors));
            poll_fn(|cx| match sent.as_mut().poll(cx) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => {
                    let parked = hold.park((), amount, cx.waker());
                    parked.inspect_err(|_| is_evicted = true)?;
                    Poll::Pending
                }
            })
            .await
        };
        if is_evicted {
            self.connection.mark_aborted();
        }
        sent
    }

    /// As [`Connection::mark_aborted`].
    pub fn mark_aborted(&mut self) {
        self.connection.mark_aborted();
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Connection<SeqPacket> {
        &self.connection
    }

    fn failed(&mut self, error: &RecvError) {
        if is_our_loss_of_record(error) {
            self.connection.mark_aborted();
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>, RecvError>> {
        loop {
            if let Poll::Ready(received) = self.poll_recv(cx) {
                return Poll::Ready(received);
            }
            ready!(
                self.drain
                    .poll_read_again(cx, self.connection.socket().io())
            )?;
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>, RecvError>> {
        // Evicted connections are polled first, or each of the others might take one more record.
        if self.connection.budget().is_evicting() && !std::mem::replace(&mut self.has_yielded, true)
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut buffer = SPARE.take();
        if buffer.len() < self.limit {
            // Zeroed pages that were never written to take no memory.
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
