//! The limits of a [`Server`], and [`LimitError`]: the limit that has ended a connection.

use std::io;
use std::time::Duration;

use super::Server;
use crate::ancillary::RecvError;

/// Which limit of a [`Server`] has ended a connection; found inside of the
/// [`io::Error`] that reading or sending fails with ([`io::Error::get_ref`]).
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// [`Server::max_buffered`].
    #[error(
        "unfinished messages take more than {limit} bytes together, and this one takes the most ({held})"
    )]
    Buffered {
        /// How many bytes this connection held.
        held: usize,
        /// How many all may hold.
        limit: usize,
    },
    /// [`Server::max_buffered_descriptors`].
    #[error(
        "unfinished messages hold more than {limit} descriptors together, and this one holds the most ({held})"
    )]
    Descriptors {
        /// How many descriptors this connection held.
        held: usize,
        /// How many all may hold.
        limit: usize,
    },
    /// [`Server::message_timeout`].
    #[error("a message that is not complete {limit:?} after its first byte")]
    MessageTimeout {
        /// How long a message may take.
        limit: Duration,
    },
    /// [`Server::first_byte_timeout`].
    #[error("nothing was received within {limit:?} of accept(2) (first-byte timeout)")]
    FirstByteTimeout {
        /// The timeout.
        limit: Duration,
    },
    /// The head of a request of HTTP, or the preface of HTTP/2, took too long:
    /// [`Server::first_byte_timeout`], else 30 s.
    #[error("the header of a request was not complete after {limit:?} (header timeout)")]
    HeaderTimeout {
        /// The timeout.
        limit: Duration,
    },
    /// [`Server::idle_timeout`], of a read.
    #[error("nothing was received or sent for {limit:?} (idle timeout)")]
    IdleTimeout {
        /// The timeout.
        limit: Duration,
    },
    /// [`Server::idle_timeout`], of a write.
    #[error("the peer has read nothing for {limit:?} (idle timeout of a write)")]
    WriteTimeout {
        /// The timeout.
        limit: Duration,
    },
    /// The drain has ended ([`Server::drain_timeout`], [`Server::abort_on`]), and the connection has
    /// outlived its handler: that has moved it into another task.
    #[error("the drain of the server has ended, and with it this connection")]
    Aborted,
}

crate::error_debug::debug_as_display!(LimitError);

/// Whether a connection has ended because our own resources ran out, so that we have lost what the peer
/// sent; not where the peer has broken a rule.
pub(super) fn is_our_loss(error: &io::Error) -> bool {
    let Some(reason) = error.get_ref() else {
        return false;
    };
    match (reason.downcast_ref(), reason.downcast_ref()) {
        (Some(limit), _) => matches!(
            limit,
            LimitError::Buffered { .. } | LimitError::Descriptors { .. }
        ),
        (_, Some(error)) => is_our_loss_of_record(error),
        _ => false,
    }
}

/// As [`is_our_loss`], for a [`RecvError`].
pub(super) fn is_our_loss_of_record(error: &RecvError) -> bool {
    match error {
        RecvError::Io(error) => is_our_loss(error),
        RecvError::DescriptorsLost | RecvError::StillClosing => true,
        _ => false,
    }
}

impl Server {
    /// Serves at most `connections` at a time; others wait in the backlog. With 0,
    /// [`run`](Self::run) fails.
    #[doc(alias = "backlog")]
    #[doc(alias = "connection limit")]
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Serves at most `connections` of one user at a time; more are closed at once and counted as
    /// refused. With 0, [`run`](Self::run) fails. All users without a mapping in our user namespace count as one
    /// ([`Peer::uid`](crate::Peer::uid)).
    #[doc(alias = "per-user limit")]
    #[must_use]
    pub fn max_per_uid(mut self, connections: usize) -> Self {
        self.max_per_uid = Some(connections);
        self
    }

    /// Reading from a connection that has sent nothing for this long since it was accepted fails
    /// with [`LimitError::FirstByteTimeout`] ([`io::ErrorKind::TimedOut`]).
    #[doc(alias = "header timeout")]
    #[must_use]
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.first_byte = Some(timeout);
        self
    }

    /// Reading fails with [`LimitError::IdleTimeout`] when no byte was received or sent for this long,
    /// and a write that has to wait with [`LimitError::WriteTimeout`] when the peer has read nothing for
    /// this long; both are [`io::ErrorKind::TimedOut`]. The clock starts when a read or a write begins to
    /// wait, so that the work of a handler in between does not count; that of a cancelled wait goes on.
    ///
    /// The kernel is asked whether the peer has read (`SIOCOUTQ`, unix(7)) when a wait has lasted this
    /// long; if it has, the wait goes on for this long again, so that a peer that stops reading is cut
    /// within twice this time. What is read counts by whole buffers of the kernel, of up to 48 KiB on a
    /// stream. A peer that reads one buffer in each timeout keeps its connection
    /// ([`max_connections`](Self::max_connections), [`max_per_uid`](Self::max_per_uid)) and what waits
    /// to be sent ([`max_buffered`](Self::max_buffered)).
    #[doc(alias = "idle timeout")]
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle = Some(timeout);
        self
    }

    /// How many bytes all connections together may hold of incomplete messages, with the room for
    /// their rest, and of replies that wait to be sent; default 64 MiB. A message that arrives whole,
    /// or a reply that is sent at once, does not count. It should be several times the limit of one
    /// message.
    ///
    /// Over it, the connection that holds most, of the user whose connections hold most, is evicted:
    /// reading from it or sending to it fails with [`LimitError::Buffered`]. One without input for a
    /// while is evicted before one whose message is just arriving, unless that holds more than an
    /// eighth of all.
    ///
    /// [`Messages`](super::Messages), [`Records`](super::Records) and [`echo()`](super::echo()) are
    /// counted. What a handler holds itself is not, and what the kernel holds for each socket is
    /// bounded by its send buffer (`net.core.wmem_default`).
    #[doc(alias = "memory limit")]
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// How many fds all connections together may hold for incomplete messages, as
    /// [`max_buffered`](Self::max_buffered) does for bytes; default a quarter of `RLIMIT_NOFILE`. Less
    /// than 253, which one message may bring, is taken as 253, and more than 4096 as 4096.
    #[must_use]
    pub fn max_buffered_descriptors(mut self, descriptors: usize) -> Self {
        self.max_buffered_descriptors = Some(descriptors);
        self
    }

    /// A message that is incomplete this long after its first byte was read ends its connection:
    /// [`Messages::next`](super::Messages::next) fails with [`LimitError::MessageTimeout`]. The idle
    /// timeout does not catch a client that sends a byte now and then.
    ///
    /// The clock starts when [`Messages::next`](super::Messages::next) first waits for the rest of the
    /// message, not while the handler is busy with the message before: the client may be unable to
    /// send the rest then.
    #[must_use]
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = Some(timeout);
        self
    }
}

impl From<LimitError> for io::Error {
    fn from(error: LimitError) -> Self {
        let kind = match error {
            LimitError::MessageTimeout { .. }
            | LimitError::FirstByteTimeout { .. }
            | LimitError::HeaderTimeout { .. }
            | LimitError::IdleTimeout { .. }
            | LimitError::WriteTimeout { .. } => io::ErrorKind::TimedOut,
            LimitError::Aborted => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::QuotaExceeded,
        };
        Self::new(kind, error)
    }
}
