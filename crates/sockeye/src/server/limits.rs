//! The limits of a [`Server`], and [`LimitError`], which says that one has ended a connection.

use std::io;
use std::time::Duration;

use super::Server;
use crate::ancillary::RecvError;

/// Which limit of a [`Server`] has ended a connection; found inside of the
/// [`io::Error`] that reading or sending fails with ([`io::Error::get_ref`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
        /// The time that a message has.
        limit: Duration,
    },
}

/// Whether an error that has ended a connection is for want of our own resources, so that what the peer
/// has sent is lost by our decision: not where it has broken a rule itself.
pub(super) fn is_our_loss(error: &io::Error) -> bool {
    let Some(reason) = error.get_ref() else {
        return false;
    };
    match (reason.downcast_ref(), reason.downcast_ref()) {
        (Some(limit), _) => matches!(
            limit,
            LimitError::Buffered { .. } | LimitError::Descriptors { .. }
        ),
        (_, Some(error)) => is_our_shortage(error),
        _ => false,
    }
}

/// As [`is_our_loss`], for what receiving a message with descriptors fails with.
pub(super) fn is_our_shortage(error: &RecvError) -> bool {
    match error {
        RecvError::Io(error) => is_our_loss(error),
        RecvError::DescriptorsLost | RecvError::StillClosing => true,
        _ => false,
    }
}

impl Server {
    /// Serves at most `connections` at a time; others wait in the backlog.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Serves at most `connections` of one user at a time; others are closed at once, told
    /// nothing, and counted as refused. Users without a mapping in our user namespace cannot be told
    /// apart ([`Peer::uid`](crate::Peer::uid)) and count together, as one.
    #[must_use]
    pub fn max_per_uid(mut self, connections: usize) -> Self {
        self.max_per_uid = Some(connections);
        self
    }

    /// Reading from a connection that has sent nothing for this long since it was accepted fails
    /// with [`io::ErrorKind::TimedOut`].
    #[must_use]
    pub fn first_byte_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.first_byte = Some(timeout);
        self
    }

    /// Waiting for a connection on which nothing came or went for this long fails with
    /// [`io::ErrorKind::TimedOut`].
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle = Some(timeout);
        self
    }

    /// How many bytes all connections together may hold of messages that are not complete, with the
    /// room for what comes next, and of answers that wait for their receivers; default 64 MiB. A message that comes whole, and an
    /// answer that is taken at once, does not count. It should be several times the limit of one
    /// message.
    ///
    /// Where they want more, the one that holds most, of the user whose connections hold most, gives
    /// up what it has, and reading from it or sending to it fails with [`LimitError::Buffered`]. One
    /// on which nothing has come for a while goes before a message that is just arriving, unless
    /// that holds more than an eighth of all.
    ///
    /// [`Messages`](super::Messages), [`Records`](super::Records) and [`echo()`](super::echo()) count
    /// like this. What a handler holds by itself is its own business, and what the kernel holds for
    /// each socket is bounded by its send buffer (`net.core.wmem_default`).
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// How many descriptors all connections together may hold for messages that are not complete,
    /// 253 at least and 4096 at most, as [`max_buffered`](Self::max_buffered) does for bytes;
    /// default a quarter of the limit of open files (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn max_buffered_descriptors(mut self, descriptors: usize) -> Self {
        self.max_buffered_descriptors = Some(descriptors);
        self
    }

    /// A message that is not complete this long after its first byte ends its connection: reading
    /// from it with [`Messages`](super::Messages) fails with [`LimitError::MessageTimeout`]. The idle
    /// timeout does not see a client that sends a byte now and then.
    ///
    /// While the handler is busy with the message before, the time does not pass: the client may be
    /// unable to send the rest then. For a message that began behind another one it counts from the
    /// moment that [`Messages::next`](super::Messages::next) first waits for the rest.
    #[must_use]
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = Some(timeout);
        self
    }
}

impl From<LimitError> for io::Error {
    fn from(error: LimitError) -> Self {
        let kind = match error {
            LimitError::MessageTimeout { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::QuotaExceeded,
        };
        Self::new(kind, error)
    }
}
