//! [`RecordedConnection`]: what a recording has of one connection.

use std::time::Duration;

use crate::relay::ObservedDirection;

/// A connection of a recording. Its index in [`Recording::connections`](super::Recording::connections)
/// is its number: from 0, in the order in which connections appear, as `tcp.stream` of Wireshark counts.
#[derive(Debug, Clone)]
pub struct RecordedConnection {
    pub(super) client: Option<String>,
    pub(super) is_record: bool,
    pub(super) fds: u64,
    pub(super) has_begin: bool,
    pub(super) has_end: bool,
    pub(super) time: Duration,
    pub(super) has_hole: bool,
    pub(super) events: Vec<RecordedEvent>,
}

impl RecordedConnection {
    /// What happened, in order of time; within one direction in the order in which it was sent.
    #[must_use]
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// Who connected, from the comment of its first block, such as `pid 4242 (curl) uid 1000 gid 1000`.
    /// Whoever wrote the file chose it: escape it before it reaches a terminal.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Whether it has records or datagrams, and not a stream of bytes.
    #[must_use]
    pub fn is_record(&self) -> bool {
        self.is_record
    }

    /// How many file descriptors (fds) were passed, in both directions. The file has none of them.
    #[must_use]
    pub fn fds(&self) -> u64 {
        self.fds
    }

    /// When its first packet was, since the first packet of the recording.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Whether its beginning is in the file: the SYN of a stream.
    #[must_use]
    pub fn has_begin(&self) -> bool {
        self.has_begin
    }

    /// Whether both directions end in the file, or it was reset there.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.has_end
    }

    /// Whether something in the middle of it is missing ([`RecordedPart::Missing`]).
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.has_hole
    }

    /// Whether it is in the file from its beginning to its end, without a hole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.has_begin && self.has_end && !self.has_hole
    }
}

/// One event of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedEvent {
    /// When, since the first packet of the recording.
    pub time: Duration,
    /// In which direction.
    pub direction: ObservedDirection,
    /// What.
    pub what: RecordedPart,
}

/// What one event of a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedPart {
    /// Bytes of a stream; [`Recording::read`](super::Recording::read) has them.
    Bytes(RecordedLocation),
    /// A record or a datagram, which may be empty.
    Record(RecordedLocation),
    /// So many bytes of a stream, or records, that the file has not.
    Missing(u64),
    /// The direction has ended: EOF.
    End,
    /// The connection was reset, or aborted.
    Reset,
}

/// Where bytes are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedLocation {
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl RecordedLocation {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether there are none: an empty record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
