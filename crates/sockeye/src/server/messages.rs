//! [`Messages`]: a stream connection read message by message, with a graceful shutdown between two.
//!
//! The way of a byte to here is drawn in `recv.rs`.

mod arrivals;
mod framed;
mod sending;
mod transport;
mod waiting;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut, BytesMut};
use tokio::time::Sleep;
use tokio_util::codec::Decoder;

use super::budget::Hold;
use super::connection::Connection;
use super::connection_drain::{ConnectionDrain, ReadProgress};
use super::counters::ServerSide;
use super::limits::is_our_loss;
use crate::framing::{Codec, Framing, FramingError, Message};
use crate::lazy_async_fd::ReadOutcome;
use crate::passing::Passing;
use crate::recv;
use crate::scratch;
use arrivals::Arrivals;
pub use transport::{MessageReader, MessageWriter};
use waiting::Begun;

/// The least room for the rest of an incomplete message.
const FIRST_ROOM: usize = 4096;

/// Reads the messages of a [`Connection`], sends replies, and ends gracefully in a drain, within the
/// drain timeout: an incomplete message is waited for; between two messages reading is shut down, and
/// what came until then is still read. A connection that has sent nothing yet may still do so for one
/// second after [`Messages::next`] has seen the drain.
///
/// An idle connection holds no buffer.
///
/// A client has them too, and so has the read half of a connection
/// ([`Connection::into_split`]):
///
/// ```no_run
/// use sockeye::Connector;
/// use sockeye::framing::Framing;
/// use sockeye::server::Messages;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Connector::new().connect(&"/run/app.sock".parse()?).await?;
/// let mut messages = Messages::new(stream, Framing::Length, 1 << 20);
/// messages.send(b"question").await?;
/// let answer = messages.next().await?;
/// # Ok(())
/// # }
/// ```
///
/// A server:
///
/// ```no_run
/// use sockeye::framing::{Framing, FramingError};
/// use sockeye::server::{Connection, Messages};
///
/// async fn handle(connection: Connection) -> Result<(), FramingError> {
///     let mut messages = Messages::new(connection, Framing::Line, 1 << 20);
///     while let Some(message) = messages.next().await? {
///         messages.send(&message.payload).await?;
///     }
///     Ok(())
/// }
/// ```
pub struct Messages<S = Connection> {
    connection: S,
    codec: Codec,
    /// The bytes of an incomplete message; empty it has no capacity either.
    buffer: BytesMut,
    /// Whether the buffer is the thread's scratch buffer.
    holds_scratch: bool,
    /// Whether a message was split off the buffer and shares its memory.
    is_cut: bool,
    /// Where the buffer is parked during a wait, so that the server can evict it.
    hold: Option<Box<Hold<Begun>>>,
    /// The deadline of an incomplete message, once it is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    read_size: usize,
    drain: ConnectionDrain,
    receives_descriptors: bool,
    /// Received fds. Few connections ever have any.
    arrivals: Option<Box<Arrivals>>,
}

/// Receives at most `limit` bytes into the free room of `buffer`, with fds if there are `arrivals` for
/// them.
fn try_recv(
    fd: BorrowedFd<'_>,
    buffer: &mut BytesMut,
    limit: usize,
    passing: Passing,
    arrivals: Option<&mut Option<Box<Arrivals>>>,
) -> io::Result<ReadOutcome<usize>> {
    let Some(arrivals) = arrivals else {
        return recv::try_recv_bytes(fd, &mut buffer.limit(limit), passing);
    };
    let ReadOutcome { result, is_all } = recv::try_recv_append(fd, buffer, limit, passing)?;
    let received = result?;
    let count = received.as_ref().map_or(0, |received| received.bytes);
    let descriptors = received.map_or_else(Vec::new, |received| received.descriptors);
    if !descriptors.is_empty() {
        let arrivals = arrivals.get_or_insert_default();
        arrivals.waiting.push((buffer.len(), descriptors));
    }
    Ok(ReadOutcome {
        result: count,
        is_all,
    })
}

impl<S: MessageReader> Messages<S> {
    /// Reads messages of at most `limit` bytes each.
    #[must_use]
    pub fn new(connection: S, framing: Framing, limit: usize) -> Self {
        Self::with_codec(connection, Codec::new(framing, limit))
    }

    fn with_codec(mut connection: S, codec: Codec) -> Self {
        connection.begin_idle();
        Self {
            drain: ConnectionDrain::new(connection.server().map(ServerSide::drain_signal)),
            connection,
            buffer: BytesMut::new(),
            holds_scratch: false,
            is_cut: false,
            hold: None,
            deadline: None,
            // A raw message is one read, so that is what is limited.
            read_size: match codec.framing() {
                Framing::Raw => codec.limit().clamp(1, scratch::SIZE),
                _ => scratch::SIZE,
            },
            codec,
            receives_descriptors: false,
            arrivals: None,
        }
    }

    /// Receives the fds that the client passes, for [`Messages::descriptors`]; without this they are closed.
    /// Fds that it passes before this call are refused, unless the listener allows fd passing
    /// ([`ClaimOptions::allow_fd_passing`], [`SocketListener::allow_fd_passing`]).
    ///
    /// [`ClaimOptions::allow_fd_passing`]: crate::claim::ClaimOptions::allow_fd_passing
    /// [`SocketListener::allow_fd_passing`]: crate::listener::SocketListener::allow_fd_passing
    #[doc(alias = "SCM_RIGHTS")]
    #[doc(alias = "fd passing")]
    #[must_use]
    pub fn receive_descriptors(mut self) -> Self {
        self.receives_descriptors = true;
        self.connection.receive_descriptors();
        self
    }

    /// Takes the fds that came with the last message of [`Messages::next`].
    ///
    /// A stream keeps no boundaries, and fds are attached to a write, not to a message: they count for
    /// the last message that has bytes of the read which brought them.
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn descriptors(&mut self) -> Vec<OwnedFd> {
        // If that fails they were evicted and closed, and `next` reports it.
        let _ = self.unpark();
        let arrivals = self.arrivals.as_mut();
        arrivals.map_or_else(Vec::new, |arrivals| {
            std::mem::take(&mut arrivals.of_message)
        })
    }

    /// The next message; `None` at EOF or where a drain ends the connection.
    ///
    /// # Errors
    /// [`FramingError`]; nothing more can be read then. [`io::ErrorKind::TimedOut`] where one of the
    /// server's timeouts has passed; [`LimitError`](super::LimitError) where the message timeout has
    /// passed, or the server has evicted the message.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Message>, FramingError> {
        self.unpark()?;
        let mut has_read = false;
        loop {
            if !self.buffer.is_empty() {
                // A buffer can hold thousands of messages: yield now and then.
                if !has_read {
                    tokio::task::coop::consume_budget().await;
                }
                let message = self.decode().inspect_err(|error| self.failed(error))?;
                if message.is_some() {
                    (self.hold, self.deadline) = (None, None);
                    self.is_cut = true;
                    if self.buffer.is_empty() {
                        self.keep_the_rest();
                    }
                    return Ok(message);
                }
            }
            self.keep_the_rest();
            if self.drain.progress() == ReadProgress::Ended {
                return Ok(None);
            }
            self.connection.note_idle(self.buffer.is_empty());
            let read = poll_fn(|cx| self.poll_read(cx)).await;
            match read
                .map_err(FramingError::Io)
                .inspect_err(|error| self.failed(error))?
            {
                0 => self.end(),
                _ => {
                    has_read = true;
                    self.connection.note_idle(false);
                    self.drain.came();
                }
            }
        }
    }

    /// [`Messages::next`] and [`Messages::descriptors`] in one.
    ///
    /// # Errors
    /// As [`Messages::next`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    #[doc(alias = "SCM_RIGHTS")]
    pub async fn recv_msg(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, FramingError> {
        let message = self.next().await?;
        Ok(message.map(|message| (message, self.descriptors())))
    }

    /// The message at the front of the buffer, with its fds, if it is complete.
    fn decode(&mut self) -> Result<Option<Message>, FramingError> {
        let length = self.buffer.len();
        let message = match self.drain.progress() {
            ReadProgress::Ended => self.codec.decode_eof(&mut self.buffer)?,
            _ => self.codec.decode(&mut self.buffer)?,
        };
        if let Some(arrivals) = &mut self.arrivals {
            let arrived = if message.is_some() {
                arrivals.take_message(length - self.buffer.len())
            } else {
                arrivals.check_incomplete()
            };
            arrived.map_err(io::Error::from)?;
        }
        Ok(message)
    }

    fn failed(&mut self, error: &FramingError) {
        if matches!(error, FramingError::Io(error) if is_our_loss(error)) {
            self.connection.mark_aborted();
        }
    }

    /// Frees memory before a handler waits for something else: otherwise bytes behind the message stay
    /// in a buffer of 64 KiB. What is kept, with its fds, then counts for
    /// [`Server::max_buffered`](super::Server::max_buffered) and
    /// [`max_buffered_descriptors`](super::Server::max_buffered_descriptors); if it is evicted,
    /// [`Messages::next`] fails with [`LimitError`](super::LimitError).
    pub fn shrink(&mut self) {
        if self.unpark().is_err() {
            return;
        }
        self.keep_the_rest();
        if !self.buffer.is_empty() {
            // The handler waits for something else, so nothing is to be woken; `next` reports an
            // eviction.
            let _ = self.park(Waker::noop(), 0);
        }
    }

    /// How many bytes of an incomplete message have been received.
    #[must_use]
    pub fn incomplete_bytes(&self) -> usize {
        let left = self.hold.as_ref();
        let left = left.and_then(|hold| hold.look(|begun| begun.buffer.len()));
        left.unwrap_or(self.buffer.len())
    }

    /// As [`Connection::mark_aborted`]; without a server it does nothing.
    pub fn mark_aborted(&mut self) {
        self.connection.mark_aborted();
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &S {
        &self.connection
    }

    /// The connection. Bytes that were read behind the last message are lost, and fds that came with
    /// them are closed; [`Framed::from`](tokio_util::codec::Framed) keeps the bytes.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.connection
    }

    /// Waits for bytes; 0 is EOF. A drain ends the wait unless there is an incomplete message.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.unpark()?;
        loop {
            match self.poll_fill(cx) {
                Poll::Pending => {}
                // The kernel reports a reset after the last byte, where the peer has closed without
                // reading all replies.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Ok(0));
                }
                read => return read,
            }
            if !self.buffer.is_empty() {
                self.enforce_message_timeout(cx)?;
                self.park(cx.waker(), 0)?;
                return Poll::Pending;
            }
            ready!(self.drain.poll_read_again(cx, self.connection.io()))?;
        }
    }

    /// Receives into the buffer, or into the scratch buffer while there is no incomplete message.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.buffer.is_empty() {
            // An incomplete message: the room for it doubles as it grows.
            let room = self.room_for_more();
            if self.buffer.capacity() - self.buffer.len() <= room / 2 {
                self.buffer.reserve(room.max(1));
            }
        }
        let Self {
            connection,
            buffer,
            holds_scratch,
            receives_descriptors,
            arrivals,
            ..
        } = self;
        let mut arrivals = receives_descriptors.then_some(arrivals);
        let passing = connection.io().passing();
        if buffer.is_empty() {
            let limit = self.read_size;
            return connection.poll_recv(cx, |fd| {
                let mut lent = scratch::take(limit);
                let received = try_recv(fd, &mut lent, limit, passing, arrivals.as_deref_mut());
                match received {
                    Ok(ReadOutcome { result: 1.., .. }) => {
                        *buffer = lent;
                        *holds_scratch = true;
                    }
                    _ => scratch::put_back(lent),
                }
                received
            });
        }
        connection.poll_recv(cx, |fd| {
            try_recv(fd, buffer, usize::MAX, passing, arrivals.as_deref_mut())
        })
    }

    /// Gives the scratch buffer back, and keeps only the bytes of an incomplete message.
    fn keep_the_rest(&mut self) {
        if self.holds_scratch {
            let rest = BytesMut::from(&self.buffer[..]);
            scratch::put_back(std::mem::replace(&mut self.buffer, rest));
            self.holds_scratch = false;
        } else if self.is_cut {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        self.is_cut = false;
    }

    fn end(&mut self) {
        if self.drain.progress() == ReadProgress::Closing && !self.buffer.is_empty() {
            // A message that began between the last read and the shutdown.
            self.connection.mark_aborted();
            self.buffer.clear();
        }
        self.drain.ended();
    }
}

impl<S: fmt::Debug> fmt::Debug for Messages<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("connection", &self.connection)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
