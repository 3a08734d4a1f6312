//! [`RelayReport`]: what a relay has passed on, and how each direction ended.

use std::fmt;
use std::io;

use crate::ancillary::MAX_DESCRIPTORS;

/// What a relay has passed on between two sides.
#[derive(Debug)]
#[non_exhaustive]
pub struct RelayReport {
    /// From the client to the target.
    pub to_target: DirectionReport,
    /// From the target to the client.
    pub to_client: DirectionReport,
    /// Why the relay itself has ended the connection, if it did. Each side reads a reset then, where
    /// the kernel can express one: a UNIX socket reads EOF if it has sent nothing that is unread.
    pub failure: Option<RelayFailure>,
}

/// One direction of a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectionReport {
    /// Bytes that were sent on.
    pub bytes: u64,
    /// Records that were sent on, empty ones too; 0 for streams.
    pub records: u64,
    /// File descriptors that were sent on.
    pub fds: u64,
    /// Bytes that were received, but could not be sent on.
    pub lost_bytes: u64,
    /// Records that were received, but could not be sent on.
    pub lost_records: u64,
    /// File descriptors that were received and closed.
    pub lost_fds: u64,
    /// How it ended.
    pub end: DirectionEnd,
}

/// How one direction of a relay ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectionEnd {
    /// The relay was dropped, or has failed, before this direction had ended.
    #[default]
    Aborted,
    /// The writer has half-closed or closed its connection, and everything was sent on.
    Eof,
    /// The writer's connection was reset, and so was the reader's.
    Reset,
    /// The reader takes no more (`EPIPE`, `SHUT_RD`), and the writer was told so.
    ReaderClosed,
    /// The reader has closed its connection, or it was reset.
    ReaderGone,
}

impl fmt::Display for DirectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "aborted",
            Self::Eof => "EOF",
            Self::Reset => "reset",
            Self::ReaderClosed => "reader takes no more",
            Self::ReaderGone => "reader has gone",
        })
    }
}

/// Why a relay has ended a connection itself.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RelayFailure {
    /// A record over the limit (`Relay::max_record`).
    #[error("a record of {size} bytes, and at most {limit} are allowed")]
    RecordTooLong {
        /// The size of the record in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A record that is larger than the send buffer of the other side can become.
    #[error(
        "a record of {size} bytes, and the send buffer holds {buffer}; raise net.core.wmem_max"
    )]
    NoSendBuffer {
        /// The size of the record in bytes.
        size: usize,
        /// `SO_SNDBUF` in bytes.
        buffer: usize,
    },
    /// Out-of-band data (`MSG_OOB`), which is not passed on.
    #[error("out-of-band data, which is not passed on")]
    OutOfBand,
    /// The ids of a message's sender have no mapping in our user namespace, so they cannot be forwarded.
    #[error(
        "a message came from a user or a group without a mapping in this user namespace, and its credentials are to be forwarded"
    )]
    UnknownSender,
    /// The receiving side refuses fds.
    #[error("{count} file descriptors came, and the other side refuses them; have it accept them")]
    FdsRefused {
        /// How many came.
        count: usize,
    },
    /// Fds came although they are refused: the kernel cannot refuse them before Linux 6.16.
    #[error(
        "file descriptors came, and they are refused; this kernel cannot tell the sender (Linux 6.16 can)"
    )]
    FdsNotAllowed,
    /// Not all fds of a message could be received.
    #[error("not all file descriptors of a message could be received; raise the limit (ulimit -n)")]
    FdsLost,
    /// Too many fds of our user are on their way (`ETOOMANYREFS`, unix(7)), and none was received for
    /// as long as the relay waits.
    #[error(
        "more file descriptors are in flight than the limit of open files; raise it (ulimit -n, at most {MAX_DESCRIPTORS} for a message)"
    )]
    TooManyInFlight,
    /// Nothing came for as long as a timeout of the server, or the half-close timeout, allows.
    #[error("{0}")]
    TimedOut(&'static str),
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

crate::error_debug::debug_as_display!(RelayFailure);

impl RelayFailure {
    /// Whether something was lost for want of our own resources, or of the target's consent: then the
    /// connection counts as aborted. A client that breaks a rule does not count.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::NoSendBuffer { .. }
            | Self::FdsRefused { .. }
            | Self::FdsLost
            | Self::TooManyInFlight
            | Self::Io(_) => true,
            Self::RecordTooLong { .. }
            | Self::OutOfBand
            | Self::FdsNotAllowed
            | Self::UnknownSender
            | Self::TimedOut(_) => false,
        }
    }
}
