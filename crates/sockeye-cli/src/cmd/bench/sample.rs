//! [`Sample`]: the results of one run of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Nanoseconds: a little more than the longest --time, which a request may wait for.
const LONGEST: u64 = 4_000_000_000_000;

pub(super) struct Sample {
    /// Of each request, from when it was due to its answer, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) answers: u64,
    /// Until the last answer.
    pub(super) elapsed: Duration,
    /// Requests that were due but could not be sent before the end. Each counts in `latency` with
    /// the time that it had waited by then.
    pub(super) unsent: u64,
    /// Connections that the server closed after an answer.
    pub(super) closed: u64,
    /// How many answers had each status of HTTP that is not 2xx; they count nowhere else.
    pub(super) errors: BTreeMap<u16, u64>,
}

impl Sample {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            answers: 0,
            elapsed: Duration::ZERO,
            unsent: 0,
            closed: 0,
            errors: BTreeMap::new(),
        })
    }

    pub(super) fn answered_after(&mut self, time: Duration) {
        self.answers += 1;
        self.count(time);
    }

    pub(super) fn failed(&mut self, status: u16) {
        *self.errors.entry(status).or_default() += 1;
    }

    pub(super) fn never_sent(&mut self, waited: Duration) {
        self.unsent += 1;
        self.count(waited);
    }

    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.answers += other.answers;
        self.elapsed += other.elapsed;
        self.unsent += other.unsent;
        self.closed += other.closed;
        for (status, count) in &other.errors {
            *self.errors.entry(*status).or_default() += count;
        }
        Ok(())
    }

    fn count(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        self.latency.saturating_record(nanos);
    }

    pub(super) fn rate(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}
