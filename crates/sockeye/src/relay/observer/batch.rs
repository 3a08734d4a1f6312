//! [`ObserverBatch`]: what waits for an observer, in the order in which it came.

use bytes::{Bytes, BytesMut};

use super::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece};

/// The bytes of small pieces lie one behind the other, so that a piece costs no allocation.
const SMALL: usize = 4096;
/// So much memory for small pieces is kept for the next batch.
const KEPT: usize = 1 << 20;

#[derive(Default)]
pub(super) struct ObserverBatch {
    pub(super) entries: Vec<BatchEntry>,
    small: BytesMut,
}

pub(super) struct BatchEntry {
    pub(super) event: ObserverEvent,
    /// How many bytes of a small piece are still with those of others.
    small: usize,
    /// Whether its time has to be set: it has an instant only.
    pub(super) needs_time: bool,
}

pub(super) enum ObserverEvent {
    Begin(ObservedBegin),
    Piece(ObservedPiece),
    End(ObservedEnd),
    Missed(ObservedGap),
}

impl ObserverBatch {
    pub(super) fn is_small(bytes: &[u8]) -> bool {
        bytes.len() <= SMALL
    }

    /// Adds an event that is whole.
    pub(super) fn push(&mut self, event: ObserverEvent, needs_time: bool) {
        self.entries.push(BatchEntry {
            event,
            small: 0,
            needs_time,
        });
    }

    /// Adds a piece that has no bytes yet, with its few bytes.
    pub(super) fn push_small(&mut self, piece: ObservedPiece, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        self.entries.push(BatchEntry {
            event: ObserverEvent::Piece(piece),
            small: bytes.len(),
            needs_time: true,
        });
    }

    /// Takes the bytes of all small pieces; [`BatchEntry::take_small`] distributes them in order.
    pub(super) fn take_small(&mut self) -> Bytes {
        std::mem::take(&mut self.small).freeze()
    }

    /// Gives their memory back for the next batch, unless a piece is still in use.
    pub(super) fn reuse(&mut self, small: Bytes) {
        if let Ok(mut small) = small.try_into_mut()
            && small.capacity() <= KEPT
        {
            small.clear();
            self.small = small;
        }
    }
}

impl BatchEntry {
    /// Gives a small piece its bytes, which are the next ones of `small`.
    pub(super) fn take_small(&mut self, small: &mut Bytes) {
        if let ObserverEvent::Piece(piece) = &mut self.event
            && self.small > 0
        {
            piece.bytes = small.split_to(self.small);
        }
    }
}
