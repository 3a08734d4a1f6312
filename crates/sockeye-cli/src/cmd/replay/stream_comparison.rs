//! [`StreamComparison`]: the answer of a stream beside the recorded one, as it comes.

use std::io;
use std::sync::Arc;

use super::mask::{MaskedStream, Masks};
use super::recorded_bytes::{RecordedBytes, common_prefix};
use crate::output::replay::{Difference, DifferingSide, SHOWN};

/// Compares byte for byte what the masks leave. Both sides are held only as far as a match of a mask
/// may reach.
pub(super) struct StreamComparison {
    masks: Arc<Masks>,
    recorded: RecordedBytes,
    /// Whether the recorded answer has an end: more than it is then a difference.
    has_end: bool,
    expected: MaskedStream,
    /// Whether all of the recording is in `expected`.
    is_whole: bool,
    found: MaskedStream,
    /// The last bytes that were equal.
    before: Vec<u8>,
}

/// Whether the recorded amount of the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerState {
    Complete,
    /// So it seems, but the end is masked: nothing more should come for a short time.
    Masked,
    /// More is to come.
    Incomplete,
    /// As much as was recorded, but it differs: a part of what a mask matches, or a difference.
    Different,
}

impl StreamComparison {
    pub(super) fn new(recorded: RecordedBytes, has_end: bool, masks: &Arc<Masks>) -> Self {
        Self {
            masks: Arc::clone(masks),
            recorded,
            has_end,
            expected: MaskedStream::new(),
            is_whole: false,
            found: MaskedStream::new(),
            before: Vec::new(),
        }
    }

    /// Compares what has come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<Option<Difference>> {
        self.found.push(bytes, &self.masks);
        self.compare()
    }

    /// Whether the first `required` bytes of the recorded answer have come, by what the masks leave of
    /// both.
    pub(super) fn state(&mut self, required: u64) -> io::Result<AnswerState> {
        if self.masks.is_empty() {
            return Ok(if self.found.received() >= required {
                AnswerState::Complete
            } else {
                AnswerState::Incomplete
            });
        }
        let (found, _) = self.found.preview(&self.masks);
        loop {
            let pushed = self.expected.received();
            if pushed > required {
                return Ok(AnswerState::Complete);
            }
            let (expected, is_masked) = self.expected.preview(&self.masks);
            if found.len() < expected.len() {
                return Ok(AnswerState::Incomplete);
            }
            if pushed == required {
                return Ok(match (found.starts_with(&expected), is_masked) {
                    (false, _) => AnswerState::Different,
                    (true, true) => AnswerState::Masked,
                    (true, false) => AnswerState::Complete,
                });
            }
            if !self.push_recorded()? {
                return Ok(AnswerState::Complete);
            }
        }
    }

    /// Compares what is left when nothing more comes.
    pub(super) fn finish(&mut self) -> io::Result<Option<Difference>> {
        self.found.finish(&self.masks);
        if let Some(difference) = self.compare()? {
            return Ok(Some(difference));
        }
        while self.expected.left().is_empty() {
            if !self.push_recorded()? {
                return Ok(None);
            }
        }
        self.difference(0).map(Some)
    }

    /// Compares as far as both sides are known for certain.
    fn compare(&mut self) -> io::Result<Option<Difference>> {
        loop {
            let (expected, found) = (self.expected.left(), self.found.left());
            let equal = common_prefix(expected, found);
            if equal < expected.len().min(found.len()) {
                return self.difference(equal).map(Some);
            }
            self.settle(equal);
            if self.found.left().is_empty() {
                return Ok(None);
            }
            if !self.push_recorded()? {
                return if self.has_end {
                    self.difference(0).map(Some)
                } else {
                    let surplus = self.found.left().len();
                    self.found.settle(surplus);
                    Ok(None)
                };
            }
        }
    }

    /// `false` where all of the recording has been pushed before.
    fn push_recorded(&mut self) -> io::Result<bool> {
        if self.is_whole {
            return Ok(false);
        }
        let piece = self.recorded.piece()?;
        if piece.is_empty() {
            self.is_whole = true;
            self.expected.finish(&self.masks);
            return Ok(true);
        }
        let count = piece.len();
        self.expected.push(piece, &self.masks);
        self.recorded.consume(count);
        Ok(true)
    }

    fn settle(&mut self, equal: usize) {
        let seen = &self.expected.left()[equal.saturating_sub(SHOWN)..equal];
        self.before.extend_from_slice(seen);
        let old = self.before.len().saturating_sub(SHOWN);
        self.before.drain(..old);
        self.expected.settle(equal);
        self.found.settle(equal);
    }

    /// What differs behind `equal` bytes.
    fn difference(&mut self, equal: usize) -> io::Result<Difference> {
        let position = self.found.position_of(equal);
        self.settle(equal);
        while self.expected.left().len() < SHOWN && self.push_recorded()? {}
        let (found, _) = self.found.preview(&self.masks);
        Ok(Difference {
            position,
            record: None,
            before: self.before.clone(),
            expected: side(self.expected.left()),
            found: side(&found),
        })
    }
}

fn side(bytes: &[u8]) -> DifferingSide {
    if bytes.is_empty() {
        DifferingSide::End
    } else {
        DifferingSide::Bytes(bytes[..bytes.len().min(SHOWN)].to_vec())
    }
}
