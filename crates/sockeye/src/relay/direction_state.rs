//! [`DirectionState`]: how far a direction of a relay is.

use std::io;

use super::report::{DirectionEnd, RelayFailure};

#[derive(Debug)]
pub(super) enum DirectionState {
    Open,
    /// The writer has ended; what was received is still being sent.
    Flushing(WriterEnd),
    /// Nobody reads any more, and the writer does not learn it otherwise than by its bytes being
    /// discarded.
    Discarding(DirectionEnd),
    Ended(DirectionEnd),
    /// The relay itself ends the connection.
    Failed(Option<RelayFailure>),
}

/// How the writer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterEnd {
    Eof,
    Reset,
}

/// What one attempt to receive has brought.
pub(super) enum Arrival {
    /// Something, which was sent on or is pending now.
    Some,
    End(WriterEnd),
    Failure(RelayFailure),
}

/// Any failure to read is a reset: nothing more comes, and EOF did not.
pub(super) fn arrival_of(read: io::Result<usize>) -> Arrival {
    match read {
        Ok(0) => Arrival::End(WriterEnd::Eof),
        Ok(_) => Arrival::Some,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Arrival::Some,
        Err(_) => Arrival::End(WriterEnd::Reset),
    }
}
