//! [`Stall`]: when a send that waits is attempted again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// A writer that waits for room is not told by epoll(7) that the reader has shut down its side
/// (`SHUT_RD`); a send is (`EPIPE`). Where nothing moves, the pauses become longer.
pub(super) struct Stall {
    sleep: Pin<Box<Sleep>>,
    pause: Duration,
    moved: u64,
}

impl Stall {
    /// `moved`: how much was received until now.
    pub(super) fn new(moved: u64) -> Self {
        Self {
            sleep: Box::pin(sleep(FIRST)),
            pause: FIRST,
            moved,
        }
    }

    /// Completes when it is time for another attempt, and begins the next pause.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        self.pause = if moved == self.moved {
            LONGEST.min(self.pause * 2)
        } else {
            FIRST
        };
        self.moved = moved;
        self.sleep.as_mut().reset(Instant::now() + self.pause);
        Poll::Ready(())
    }
}
