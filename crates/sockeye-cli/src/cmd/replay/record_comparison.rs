//! [`RecordComparison`]: the records of an answer beside the recorded ones.

use std::io;
use std::sync::Arc;

use super::mask::Masks;
use super::recorded_bytes::{RecordedBytes, common_prefix};
use crate::output::replay::{Difference, DifferingSide, SHOWN};

/// The length in front of a record ([`framed`](super::recorded_bytes::framed)).
const LENGTH: usize = size_of::<u32>();

/// Each record is compared as a whole, and masks are applied to each.
pub(super) struct RecordComparison {
    masks: Arc<Masks>,
    recorded: RecordedBytes,
    has_end: bool,
    number: u64,
}

impl RecordComparison {
    pub(super) fn new(recorded: RecordedBytes, has_end: bool, masks: &Arc<Masks>) -> Self {
        Self {
            masks: Arc::clone(masks),
            recorded,
            has_end,
            number: 0,
        }
    }

    /// Compares a record that has come.
    pub(super) fn take(&mut self, record: &[u8]) -> io::Result<Option<Difference>> {
        let Some(expected) = self.next()? else {
            let surplus = self.difference(0, &[], DifferingSide::End, shown(record));
            return Ok(Some(surplus).filter(|_| self.has_end));
        };
        let (expected, found) = (self.masks.strip(&expected), self.masks.strip(record));
        if expected == found {
            self.number += 1;
            return Ok(None);
        }
        let equal = common_prefix(&expected, &found);
        let before = &found[equal.saturating_sub(SHOWN)..equal];
        let side = |bytes: &[u8]| match &bytes[equal..] {
            [] => DifferingSide::End,
            rest => shown(rest),
        };
        let (expected, found) = (side(&expected), side(&found));
        Ok(Some(self.difference(equal as u64, before, expected, found)))
    }

    /// The first record that has not come.
    pub(super) fn finish(&mut self) -> io::Result<Option<Difference>> {
        let missing = self.next()?;
        Ok(missing.map(|record| self.difference(0, &[], shown(&record), DifferingSide::End)))
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = self.recorded.piece()?;
        let record = piece.get(LENGTH..).map(<[u8]>::to_vec);
        let count = piece.len();
        self.recorded.consume(count);
        Ok(record)
    }

    fn difference(
        &self,
        position: u64,
        before: &[u8],
        expected: DifferingSide,
        found: DifferingSide,
    ) -> Difference {
        Difference {
            position,
            record: Some(self.number),
            before: before.to_vec(),
            expected,
            found,
        }
    }
}

fn shown(record: &[u8]) -> DifferingSide {
    DifferingSide::Bytes(record[..record.len().min(SHOWN)].to_vec())
}
