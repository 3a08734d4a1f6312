//! [`Answer`]: what has come of an answer, counted or compared with the recording.

use std::io;
use std::sync::Arc;

use sockeye::capture::Recording;
use sockeye::relay::ObservedDirection;

use super::mask::Masks;
use super::record_comparison::RecordComparison;
use super::recorded_bytes::RecordedBytes;
use super::recording::{close_of_client, has_answer_end};
use super::stream_comparison::{AnswerState, StreamComparison};
use crate::output::replay::Difference;

pub(super) struct Answer {
    /// Bytes of a stream, or records.
    received: u64,
    comparison: AnswerComparison,
}

enum AnswerComparison {
    /// Without `--check`.
    None,
    Stream(Box<StreamComparison>),
    Records(RecordComparison),
}

impl Answer {
    /// Compared where there are masks, though they may be none.
    pub(super) fn new(
        recording: &Arc<Recording>,
        number: usize,
        masks: Option<&Arc<Masks>>,
    ) -> Self {
        let connection = &recording.connections()[number];
        let recorded = RecordedBytes::new(recording, number, ObservedDirection::ToClient);
        let has_end = has_answer_end(connection) || close_of_client(connection).is_some();
        let comparison = match masks {
            None => AnswerComparison::None,
            Some(masks) if connection.is_record() => {
                AnswerComparison::Records(RecordComparison::new(recorded, has_end, masks))
            }
            Some(masks) => {
                AnswerComparison::Stream(Box::new(StreamComparison::new(recorded, has_end, masks)))
            }
        };
        Self {
            received: 0,
            comparison,
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn is_compared(&self) -> bool {
        !matches!(self.comparison, AnswerComparison::None)
    }

    /// Takes bytes of a stream, or one record.
    pub(super) fn take(&mut self, bytes: &[u8], is_record: bool) -> io::Result<Option<Difference>> {
        self.received += if is_record { 1 } else { bytes.len() as u64 };
        match &mut self.comparison {
            AnswerComparison::None => Ok(None),
            AnswerComparison::Stream(comparison) => comparison.take(bytes),
            AnswerComparison::Records(comparison) => comparison.take(bytes),
        }
    }

    /// Whether the recorded amount has come.
    pub(super) fn state(&mut self, required: u64) -> io::Result<AnswerState> {
        match &mut self.comparison {
            AnswerComparison::Stream(comparison) => comparison.state(required),
            _ if self.received >= required => Ok(AnswerState::Complete),
            _ => Ok(AnswerState::Incomplete),
        }
    }

    /// Compares what is left when nothing more comes.
    pub(super) fn finish(&mut self) -> io::Result<Option<Difference>> {
        match &mut self.comparison {
            AnswerComparison::None => Ok(None),
            AnswerComparison::Stream(comparison) => comparison.finish(),
            AnswerComparison::Records(comparison) => comparison.finish(),
        }
    }
}
