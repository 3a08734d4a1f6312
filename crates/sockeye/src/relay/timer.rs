//! [`Timer`]: first-byte timeout, idle timeout and half-close timeout of a relay.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct Timer {
    first_byte: Option<Duration>,
    idle: Option<Duration>,
    half_close: Option<Duration>,
    began: Instant,
    /// When something has moved last.
    moved: Instant,
    /// What had moved until then, in both directions; and whether a direction was over.
    seen: (u64, bool),
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// `None` without any timeout.
    pub(super) fn new(
        [first_byte, idle]: [Option<Duration>; 2],
        half_close: Option<Duration>,
    ) -> Option<Box<Self>> {
        first_byte.or(idle).or(half_close)?;
        let now = Instant::now();
        Some(Box::new(Self {
            first_byte,
            idle,
            half_close,
            began: now,
            moved: now,
            seen: (0, false),
            sleep: Box::pin(sleep_until(now)),
        }))
    }

    /// Completes with the timeout that is over. `moved`: how much each direction has received.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: [u64; 2],
        is_half_closed: bool,
    ) -> Poll<&'static str> {
        let seen = (moved[0] + moved[1], is_half_closed);
        if seen != self.seen {
            self.seen = seen;
            self.moved = Instant::now();
        }
        let has_begun = moved[0] > 0;
        let Some((due, why)) = self.due(has_begun, is_half_closed) else {
            return Poll::Pending;
        };
        // A deadline that has moved away is noticed when the old one is over.
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if due <= Instant::now() {
                break;
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Ready(why)
    }

    fn due(&self, has_begun: bool, is_half_closed: bool) -> Option<(Instant, &'static str)> {
        let first_byte = self.first_byte.filter(|_| !has_begun);
        let half_close = self.half_close.filter(|_| is_half_closed);
        let at = |from: Instant, timeout: Option<Duration>, why| {
            Some((from.checked_add(timeout?)?, why))
        };
        let dues = [
            at(self.began, first_byte, "first-byte timeout"),
            at(self.moved, self.idle, "idle timeout"),
            at(self.moved, half_close, "half-close timeout"),
        ];
        dues.into_iter().flatten().min_by_key(|&(due, _)| due)
    }
}
