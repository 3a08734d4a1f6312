//! [`Pace`]: when what was recorded is due.

use std::time::Duration;

use tokio::time::Instant;

use crate::args::Speed;

/// The times of a recording, divided by the speed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    speed: Speed,
    began: Instant,
    /// The time of the recording at which it began.
    first: Duration,
}

impl Pace {
    /// `first`, a time of the recording, is now.
    pub(super) fn new(speed: Speed, first: Duration) -> Self {
        Self {
            speed,
            began: Instant::now(),
            first,
        }
    }

    /// When an event of the recording is due; `None` for at once.
    pub(super) fn due(&self, time: Duration) -> Option<Instant> {
        let after = self.speed.shorten(time.saturating_sub(self.first))?;
        self.began.checked_add(after)
    }

    /// How long it has taken, and how long it takes until `last`, a time of the recording; `None` without times.
    pub(super) fn progress(&self, last: Duration) -> Option<(Duration, Duration)> {
        let total = self.speed.shorten(last.saturating_sub(self.first))?;
        Some((self.began.elapsed(), total))
    }

    /// When it is due, if that is in the future.
    pub(super) fn not_yet(&self, time: Duration) -> Option<Instant> {
        self.due(time).filter(|due| *due > Instant::now())
    }
}
