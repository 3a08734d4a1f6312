//! [`Stamp`]: when and in which direction; directions as an index and as the flags of a block.

use super::pcapng::{FLAGS_INBOUND, FLAGS_OUTBOUND};
use crate::relay::ObservedDirection;

/// When a frame is recorded, on which interface and in which direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) interface: u32,
    /// In nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) to: ObservedDirection,
    pub(super) batch: Batch,
}

/// Which blocks are written together, or dropped together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) number: u64,
    /// How many before it were written, at least in part.
    pub(super) written: u64,
}

impl Stamp {
    /// The same time in the other direction.
    pub(super) fn reversed(self) -> Self {
        let to = opposite(self.to);
        Self { to, ..self }
    }
}

pub(super) fn index(direction: ObservedDirection) -> usize {
    match direction {
        ObservedDirection::ToTarget => 0,
        ObservedDirection::ToClient => 1,
    }
}

pub(super) fn opposite(direction: ObservedDirection) -> ObservedDirection {
    match direction {
        ObservedDirection::ToTarget => ObservedDirection::ToClient,
        ObservedDirection::ToClient => ObservedDirection::ToTarget,
    }
}

/// As the server sees it.
pub(super) fn flags(direction: ObservedDirection) -> u32 {
    match direction {
        ObservedDirection::ToTarget => FLAGS_INBOUND,
        ObservedDirection::ToClient => FLAGS_OUTBOUND,
    }
}

pub(super) fn from_flags(flags: u32) -> Option<ObservedDirection> {
    match flags & 3 {
        FLAGS_INBOUND => Some(ObservedDirection::ToTarget),
        FLAGS_OUTBOUND => Some(ObservedDirection::ToClient),
        _ => None,
    }
}
