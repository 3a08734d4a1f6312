//! [`Linger`]: how long a close waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How long a side that is to read a reset may take to send something.
const FOR_INPUT: Duration = Duration::from_millis(200);
/// How long a TCP peer may take to receive anything more.
const FOR_PROGRESS: Duration = Duration::from_secs(10);
/// Nothing reports that all was received.
const STEP: Duration = Duration::from_millis(20);

pub(super) struct Linger {
    began: Instant,
    /// When the amount that is not received yet has changed last.
    moved: Instant,
    unsent: u32,
    is_over: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Default for Linger {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            moved: now,
            unsent: 0,
            is_over: false,
            sleep: Box::pin(sleep(STEP)),
        }
    }
}

impl Linger {
    /// Completes when it is time to look again, or over.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        waits_for_input: bool,
        unsent: u32,
    ) -> Poll<()> {
        let now = Instant::now();
        if unsent != self.unsent {
            (self.unsent, self.moved) = (unsent, now);
        }
        let for_input = waits_for_input && now - self.began < FOR_INPUT;
        let for_progress = unsent > 0 && now - self.moved < FOR_PROGRESS;
        if !for_input && !for_progress {
            self.is_over = true;
            return Poll::Ready(());
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.sleep.as_mut().reset(now + STEP);
        Poll::Ready(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}
