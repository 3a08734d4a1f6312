//! [`Pause`]: until there is room for file descriptors again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::backoff::Backoff;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// How long fds that are in flight may keep others from being sent.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between attempts. Nothing reports that there is room: neither for fds of this process nor
/// for those in flight.
pub(super) struct Pause {
    began: Instant,
    backoff: Backoff,
    sleep: Pin<Box<Sleep>>,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            backoff: Backoff::new(FIRST, LONGEST),
            sleep: Box::pin(sleep(Duration::ZERO)),
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.began.elapsed() > IN_FLIGHT_TIMEOUT
    }

    /// Makes the pause before the next attempt.
    pub(super) fn begin(&mut self) {
        let until = Instant::now() + self.backoff.next_pause();
        self.sleep.as_mut().reset(until);
    }

    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(())
    }
}
