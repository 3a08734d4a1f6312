//! [`Reassembly`]: one direction of a connection, put into its order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::recorded::{RecordedEvent, RecordedLocation, RecordedPart};
use crate::relay::ObservedDirection;

/// Sequence numbers are counted from here on in 64 bits, so that some before the first one exist.
const ORIGIN: u64 = 1 << 32;

/// An acknowledgement this far ahead of what was sent is none: windows have at most 1 GiB.
const MOST_AHEAD: u64 = 1 << 30;

/// Bytes of a stream with their sequence number, or a record with its number.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// How many numbers it takes: its bytes, or 1.
    length: u64,
    location: RecordedLocation,
    time: Duration,
}

/// One direction of a connection: what comes in any order, or twice, becomes events in their order.
#[derive(Debug)]
pub(super) struct Reassembly {
    direction: ObservedDirection,
    is_record: bool,
    /// The number after the last event.
    next: Option<u64>,
    /// The number after the highest that was seen or acknowledged.
    highest: u64,
    /// What comes after a hole.
    early: BTreeMap<u64, Chunk>,
    fin: Option<(u64, Duration)>,
    has_ended: bool,
    has_hole: bool,
    /// When the last event was.
    time: Duration,
}

impl Reassembly {
    pub(super) fn new(direction: ObservedDirection, is_record: bool) -> Self {
        Self {
            direction,
            is_record,
            next: None,
            highest: ORIGIN,
            early: BTreeMap::new(),
            fin: None,
            has_ended: false,
            has_hole: false,
            time: Duration::ZERO,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn has_hole(&self) -> bool {
        self.has_hole
    }

    /// The first number is known, unless one was before.
    pub(super) fn begin(&mut self, number: u32) {
        let number = ORIGIN + u64::from(number);
        if self.next.is_none() {
            (self.next, self.highest) = (Some(number), number);
        }
    }

    /// The number after the highest one.
    pub(super) fn following(&self) -> u32 {
        self.highest as u32
    }

    /// Takes bytes or a record. `length` is how many numbers it took, of which the file may have fewer.
    /// Returns whether it is new.
    pub(super) fn take(
        &mut self,
        number: u32,
        length: u32,
        location: RecordedLocation,
        time: Duration,
        events: &mut Vec<RecordedEvent>,
    ) -> bool {
        self.begin(number);
        let start = self.unwrapped(number);
        self.highest = self.highest.max(start + u64::from(length));
        let length = if self.is_record {
            u64::from(length)
        } else {
            u64::from(location.length)
        };
        let chunk = Chunk {
            length,
            location,
            time,
        };
        length > 0 && self.insert(start, chunk, events)
    }

    /// The writer has ended the direction in front of this number.
    pub(super) fn end(&mut self, number: u32, time: Duration, events: &mut Vec<RecordedEvent>) {
        self.begin(number);
        let number = self.unwrapped(number);
        self.highest = self.highest.max(number + u64::from(!self.is_record));
        self.fin.get_or_insert((number, time));
        self.deliver_end(events);
    }

    /// The other side has received everything in front of this number.
    pub(super) fn acknowledged(&mut self, number: u32) {
        self.begin(number);
        let number = self.unwrapped(number);
        if number < self.highest + MOST_AHEAD {
            self.highest = self.highest.max(number);
        }
    }

    /// Nothing more comes: what is behind holes becomes events.
    pub(super) fn finish(&mut self, events: &mut Vec<RecordedEvent>) {
        while let Some((&start, chunk)) = self.early.first_key_value() {
            let time = chunk.time;
            self.skip_to(start, time, events);
            self.deliver_early(events);
        }
        if let Some((number, time)) = self.fin {
            self.skip_to(number, time, events);
            self.deliver_end(events);
        } else if let Some(next) = self.next
            // A single one may be that of a FIN.
            && self.highest > next + u64::from(!self.is_record)
        {
            self.skip_to(self.highest, self.time, events);
        }
    }

    /// Whether it is new.
    fn insert(&mut self, start: u64, chunk: Chunk, events: &mut Vec<RecordedEvent>) -> bool {
        let next = self.next.unwrap_or(start);
        if start + chunk.length <= next {
            return false;
        }
        if start > next {
            let known = self.early.get(&start).map(|chunk| chunk.length);
            let is_new = known.is_none_or(|length| length < chunk.length);
            if is_new {
                self.early.insert(start, chunk);
            }
            return is_new;
        }
        self.deliver(start, chunk, events);
        self.deliver_early(events);
        self.deliver_end(events);
        true
    }

    /// Delivers what now follows.
    fn deliver_early(&mut self, events: &mut Vec<RecordedEvent>) {
        while let Some(entry) = self.early.first_entry()
            && self.next.is_some_and(|next| *entry.key() <= next)
        {
            let (start, chunk) = entry.remove_entry();
            self.deliver(start, chunk, events);
        }
    }

    /// Delivers a chunk that begins at or before the next number, without what is known already.
    fn deliver(&mut self, start: u64, chunk: Chunk, events: &mut Vec<RecordedEvent>) {
        let next = self.next.unwrap_or(start);
        let known = next - start;
        if known >= chunk.length {
            return;
        }
        self.next = Some(start + chunk.length);
        let what = if self.is_record {
            RecordedPart::Record(chunk.location)
        } else {
            RecordedPart::Bytes(RecordedLocation {
                offset: chunk.location.offset + known,
                length: chunk.location.length - known as u32,
            })
        };
        self.push(what, chunk.time, events);
    }

    fn deliver_end(&mut self, events: &mut Vec<RecordedEvent>) {
        if let Some((number, time)) = self.fin
            && self.next == Some(number)
            && !self.has_ended
        {
            self.has_ended = true;
            self.push(RecordedPart::End, time, events);
        }
    }

    fn skip_to(&mut self, number: u64, time: Duration, events: &mut Vec<RecordedEvent>) {
        let next = self.next.unwrap_or(number);
        if number > next {
            self.has_hole = true;
            self.next = Some(number);
            self.push(RecordedPart::Missing(number - next), time, events);
        }
    }

    fn push(&mut self, what: RecordedPart, time: Duration, events: &mut Vec<RecordedEvent>) {
        // One direction stays in its order, whatever the times say.
        self.time = self.time.max(time);
        events.push(RecordedEvent {
            time: self.time,
            direction: self.direction,
            what,
        });
    }

    /// The number in 64 bits that is nearest to the highest one.
    fn unwrapped(&self, number: u32) -> u64 {
        let ahead = number.wrapping_sub(self.highest as u32).cast_signed();
        self.highest.saturating_add_signed(i64::from(ahead))
    }
}
