//! [`ConnectionOutcome`]: what a connection counts as.

/// Set beside the [`ConnectionOutcome`] while a send waits for the peer: with bytes unsent a connection
/// is busy, whatever else is noted.
const IS_SENDING: u8 = 1 << 7;

/// What a connection counts as if it ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::server) enum ConnectionOutcome {
    /// It never got to a handler.
    Refused,
    /// A message may be in progress.
    Busy,
    /// No message is in progress, so that an abort loses nothing.
    Idle,
    /// We have lost a message, or left one unread.
    Aborted,
}

impl ConnectionOutcome {
    pub(super) fn from_u8(value: u8) -> Self {
        match Self::noted_in(value) {
            Self::Idle if is_sending(value) => Self::Busy,
            outcome => outcome,
        }
    }

    /// As if no send were waiting.
    fn noted_in(value: u8) -> Self {
        match value & !IS_SENDING {
            0 => Self::Refused,
            1 => Self::Busy,
            2 => Self::Idle,
            _ => Self::Aborted,
        }
    }

    /// What a connection is once there is a message in progress, or none.
    pub(super) fn noted(self, idle: bool) -> Self {
        match (self, idle) {
            (Self::Aborted, _) => Self::Aborted,
            (_, true) => Self::Idle,
            (_, false) => Self::Busy,
        }
    }
}

pub(super) fn is_sending(value: u8) -> bool {
    value & IS_SENDING != 0
}

pub(super) fn with_sending(value: u8, is_sending: bool) -> u8 {
    if is_sending {
        value | IS_SENDING
    } else {
        value & !IS_SENDING
    }
}

/// The value with another outcome, and whether a send waits as before.
pub(super) fn changed(value: u8, new: impl Fn(ConnectionOutcome) -> ConnectionOutcome) -> u8 {
    new(ConnectionOutcome::noted_in(value)) as u8 | value & IS_SENDING
}
