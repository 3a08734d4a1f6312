//! [`Schedule`]: when requests are due at a fixed rate (open loop).

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub(super) struct Schedule {
    start: Instant,
    rate: u64,
    taken: u64,
}

impl Schedule {
    pub(super) fn new(start: Instant, rate: NonZeroU32) -> Self {
        let rate = u64::from(rate.get());
        Self {
            start,
            rate,
            taken: 0,
        }
    }

    fn next(&self) -> Instant {
        // Counted from the start, so that rounding errors do not add up.
        let (seconds, rest) = (self.taken / self.rate, self.taken % self.rate);
        let nanos = rest * 1_000_000_000 / self.rate;
        self.start + Duration::from_secs(seconds) + Duration::from_nanos(nanos)
    }

    /// When the next one is due, if that is before `end`.
    pub(super) fn next_before(&self, end: Instant) -> Option<Instant> {
        Some(self.next()).filter(|&due| due < end)
    }

    /// As [`next_before`](Self::next_before), and goes on to the one after.
    pub(super) fn take_before(&mut self, end: Instant) -> Option<Instant> {
        let due = self.next_before(end)?;
        self.taken += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_asked_for_and_evenly() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, NonZeroU32::new(3).unwrap());
        let end = start + Duration::from_secs(2);
        let mut due = Vec::new();
        while let Some(at) = schedule.take_before(end) {
            due.push((at - start).as_millis());
        }
        assert_eq!(due, [0, 333, 666, 1000, 1333, 1666]);
        assert_eq!(schedule.next_before(end), None);
    }
}
