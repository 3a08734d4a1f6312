//! [`Timeouts`] of a server, and [`Deadlines`], which applies them to one connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::lazy_async_fd::Direction;

/// The timeouts of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    timeouts: Timeouts,
    /// When it was accepted; `None` after the first byte.
    accepted: Option<Instant>,
    last: Instant,
    /// The direction in which a timeout has passed, if any.
    pub(super) over: Option<Direction>,
    // One for each direction: two tasks may wait, each with its waker. Set to the earliest deadline,
    // and not moved on each byte.
    timers: [Pin<Box<Sleep>>; 2],
}

impl Deadlines {
    pub(super) fn new(timeouts: Timeouts) -> Option<Box<Self>> {
        if timeouts.first_byte.is_none() && timeouts.idle.is_none() {
            return None;
        }
        let now = Instant::now();
        let mut deadlines = Self {
            timeouts,
            accepted: Some(now),
            last: now,
            over: None,
            timers: [(); 2].map(|()| Box::pin(tokio::time::sleep(Duration::MAX))),
        };
        for direction in [Direction::Read, Direction::Write] {
            if let Some(deadline) = deadlines.deadline(direction) {
                deadlines.timers[direction as usize]
                    .as_mut()
                    .reset(deadline);
            }
        }
        Some(Box::new(deadlines))
    }

    fn deadline(&self, direction: Direction) -> Option<Instant> {
        let after = |from: Instant, time: Option<Duration>| from.checked_add(time?);
        let first = self
            .accepted
            .filter(|_| direction == Direction::Read)
            .and_then(|accepted| after(accepted, self.timeouts.first_byte));
        let idle = after(self.last, self.timeouts.idle);
        match (first, idle) {
            (Some(first), Some(idle)) => Some(first.min(idle)),
            (first, idle) => first.or(idle),
        }
    }

    pub(super) fn moved(&mut self, direction: Direction) {
        self.last = Instant::now();
        if direction == Direction::Read {
            self.accepted = None;
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Error> {
        loop {
            ready!(self.timers[direction as usize].as_mut().poll(cx));
            match self.deadline(direction) {
                Some(deadline) if deadline > Instant::now() => {
                    self.timers[direction as usize].as_mut().reset(deadline);
                }
                Some(_) => {
                    self.over = Some(direction);
                    return Poll::Ready(io::ErrorKind::TimedOut.into());
                }
                None => return Poll::Pending,
            }
        }
    }
}

/// Call after each attempt to read or write: a deadline is checked only while that is pending, and
/// moves with each byte.
pub(super) fn enforce_deadlines<T>(
    deadlines: &mut Option<Box<Deadlines>>,
    cx: &mut Context<'_>,
    direction: Direction,
    result: Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    match (result, deadlines) {
        (Poll::Pending, Some(deadlines)) => deadlines.poll_over(cx, direction).map(Err),
        (done, Some(deadlines)) => {
            deadlines.moved(direction);
            done
        }
        (result, None) => result,
    }
}
