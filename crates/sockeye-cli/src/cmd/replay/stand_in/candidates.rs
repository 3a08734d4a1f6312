//! [`Candidates`]: the recorded connections whose server can be played, and which of them fit a client.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sockeye::capture::{RecordedEvent, RecordedPart, Recording};
use sockeye::relay::ObservedDirection;

use crate::cmd::replay::recorded_bytes::{RecordedBytes, common_prefix, framed_len};
use crate::cmd::replay::recording::Selection;

/// How much of each client's beginning is kept in memory, to compare without reading the file.
const HEAD: usize = 64;

/// Among how many the closest one is looked for.
const LOOKED_AT: usize = 10_000;

pub(super) struct Candidates {
    recording: Arc<Recording>,
    /// In the order in which they began.
    numbers: Vec<usize>,
    heads: Vec<Box<[u8]>>,
    used: Mutex<Vec<bool>>,
}

/// What a client has sent: the beginning of what a recorded client has, and what has come since.
pub(super) struct ClientBytes<'a> {
    /// The candidate, and how many bytes of its client.
    pub(super) beginning: Option<(usize, u64)>,
    pub(super) since: &'a [u8],
}

/// A candidate whose client has sent the same, so far.
pub(super) struct Choice {
    pub(super) candidate: usize,
    /// What its client sends next.
    pub(super) ahead: RecordedBytes,
    /// The next event.
    pub(super) next: usize,
    /// How much of its client comes before the next event.
    pub(super) required: u64,
    /// Whether its client's EOF does.
    pub(super) requires_end: bool,
    /// Whether an answer of it was given.
    pub(super) is_used: bool,
}

impl Candidates {
    pub(super) fn new(selection: &Selection) -> io::Result<Self> {
        let recording = &selection.recording;
        let head = |&number: &usize| {
            let mut client = RecordedBytes::new(recording, number, ObservedDirection::ToTarget);
            client.peek(HEAD).map(Vec::into_boxed_slice)
        };
        let numbers = selection.numbers.clone();
        let heads: io::Result<Vec<Box<[u8]>>> = numbers.iter().map(head).collect();
        Ok(Self {
            recording: Arc::clone(recording),
            used: Mutex::new(vec![false; numbers.len()]),
            heads: heads?,
            numbers,
        })
    }

    pub(super) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The number in the recording.
    pub(super) fn number(&self, candidate: usize) -> usize {
        self.numbers[candidate]
    }

    pub(super) fn events(&self, candidate: usize) -> &[RecordedEvent] {
        self.recording.connections()[self.numbers[candidate]].events()
    }

    /// What the client of a candidate has sent.
    pub(super) fn client(&self, candidate: usize) -> RecordedBytes {
        let number = self.numbers[candidate];
        RecordedBytes::new(&self.recording, number, ObservedDirection::ToTarget)
    }

    pub(super) fn is_used(&self, candidate: usize) -> bool {
        self.used()[candidate]
    }

    pub(super) fn set_used(&self, candidate: usize) {
        self.used()[candidate] = true;
    }

    /// The first that fits and was not used yet; then the first that was.
    pub(super) fn find(
        &self,
        sent: &ClientBytes<'_>,
        has_ended: bool,
        mut fits: impl FnMut(&mut Choice) -> io::Result<bool>,
    ) -> io::Result<Option<Choice>> {
        let used = self.used().clone();
        for is_used in [false, true] {
            for (candidate, _) in used
                .iter()
                .enumerate()
                .filter(|(_, used)| **used == is_used)
            {
                if let Some(mut choice) = self.choice(candidate, sent, has_ended)?
                    && fits(&mut choice)?
                {
                    return Ok(Some(choice));
                }
            }
        }
        Ok(None)
    }

    /// The candidate, if its client has sent the same.
    fn choice(
        &self,
        candidate: usize,
        sent: &ClientBytes<'_>,
        has_ended: bool,
    ) -> io::Result<Option<Choice>> {
        let since = sent.since;
        if sent.beginning.is_none() {
            let head = &self.heads[candidate];
            let compared = head.len().min(since.len());
            if head[..compared] != since[..compared]
                || since.len() > head.len() && head.len() < HEAD
            {
                return Ok(None);
            }
        }
        let Some(mut ahead) = self.behind_beginning(candidate, sent)? else {
            return Ok(None);
        };
        if ahead.consume_equal(since)? < since.len() {
            return Ok(None);
        }
        let matched = sent.beginning.map_or(0, |(_, count)| count) + since.len() as u64;
        let (next, required) = position(self.events(candidate), matched, has_ended);
        Ok(Some(Choice {
            candidate,
            ahead,
            next,
            required,
            requires_end: false,
            is_used: false,
        }))
    }

    /// The client of a candidate behind what it has in common with the beginning; `None` where that is
    /// not all of it.
    fn behind_beginning(
        &self,
        candidate: usize,
        sent: &ClientBytes<'_>,
    ) -> io::Result<Option<RecordedBytes>> {
        let mut ahead = self.client(candidate);
        let Some((known, mut count)) = sent.beginning else {
            return Ok(Some(ahead));
        };
        if known == candidate {
            ahead.skip(count)?;
            return Ok(Some(ahead));
        }
        let heads = [known, candidate].map(|at| &self.heads[at]);
        let compared = common_prefix(heads[0], heads[1]) as u64;
        if compared < count.min(HEAD as u64) {
            return Ok(None);
        }
        let mut beginning = self.client(known);
        while count > 0 {
            let piece = beginning.piece()?;
            let piece = &piece[..piece
                .len()
                .min(usize::try_from(count).unwrap_or(usize::MAX))];
            let length = piece.len();
            if length == 0 || ahead.consume_equal(piece)? < length {
                return Ok(None);
            }
            beginning.consume(length);
            count -= length as u64;
        }
        Ok(Some(ahead))
    }

    /// The candidate that has most in common with what a client has sent, and how much of `since`.
    pub(super) fn closest(
        &self,
        sent: &ClientBytes<'_>,
        is_record: bool,
    ) -> io::Result<Option<(usize, usize)>> {
        let mut closest = None;
        for candidate in 0..self.numbers.len().min(LOOKED_AT) {
            let Some(mut ahead) = self.behind_beginning(candidate, sent)? else {
                continue;
            };
            let equal = if is_record {
                common_prefix(record_of(ahead.piece()?), record_of(sent.since))
            } else {
                ahead.consume_equal(sent.since)?
            };
            if closest.is_none_or(|(_, most)| equal > most) {
                closest = Some((candidate, equal));
            }
        }
        Ok(closest)
    }

    fn used(&self) -> MutexGuard<'_, Vec<bool>> {
        // Nothing in there can be half done.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record without its length in front.
pub(super) fn record_of(framed: &[u8]) -> &[u8] {
    framed.get(size_of::<u32>()..).unwrap_or_default()
}

/// The first event that is not over when the client has sent `matched` bytes, and how many come before
/// it. The answers before the last of these bytes are over: whatever was answered then, was answered.
fn position(events: &[RecordedEvent], matched: u64, has_ended: bool) -> (usize, u64) {
    let mut required = 0;
    for (at, event) in events.iter().enumerate() {
        let is_over = match (event.direction, event.what) {
            (ObservedDirection::ToClient, _) => required < matched,
            (ObservedDirection::ToTarget, RecordedPart::End | RecordedPart::Reset) => has_ended,
            (ObservedDirection::ToTarget, _) => required + client_len(event) <= matched,
        };
        if !is_over {
            return (at, required);
        }
        if event.direction == ObservedDirection::ToTarget {
            required += client_len(event);
        }
    }
    (events.len(), required)
}

/// How many bytes of [`RecordedBytes`] an event of the client is.
pub(super) fn client_len(event: &RecordedEvent) -> u64 {
    match &event.what {
        RecordedPart::Bytes(location) => location.len() as u64,
        RecordedPart::Record(location) => framed_len(location),
        _ => 0,
    }
}
