//! [`Timeouts`] of a server; [`Activity`] and [`Waiting`], which apply them to one connection.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::LimitError;
use super::latch::{Latch, LatchWaiter};
use crate::lazy_async_fd::Direction;
use crate::sys;

/// Of [`Activity::unread`]: no write waits.
const NO_WAIT: u32 = 0;
/// Of [`Activity::unread`]: a write waits because the send buffer is full.
const FULL: u32 = u32::MAX;

/// The timeouts of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeouts {
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

/// When one connection has last received and sent, for both of its halves.
#[derive(Debug)]
pub(super) struct Activity {
    timeouts: Timeouts,
    accepted: Instant,
    has_received: AtomicBool,
    /// The last byte in either direction, or the beginning of the wait for input, in nanoseconds after
    /// `accepted`.
    last: AtomicU64,
    /// The last byte that was sent, or the beginning of the wait to send the next one, likewise.
    write_progress: AtomicU64,
    /// What the peer had not read at the last deadline of a write that waits, in bytes of the send
    /// buffer.
    unread: AtomicU32,
    /// Whether a wait for input has timed out.
    is_read_over: AtomicBool,
}

impl Activity {
    /// `None` without timeouts.
    pub(super) fn new(timeouts: Timeouts) -> Option<Box<Self>> {
        let has_timeouts = timeouts.first_byte.is_some() || timeouts.idle.is_some();
        has_timeouts.then(|| {
            Box::new(Self {
                timeouts,
                accepted: Instant::now(),
                has_received: AtomicBool::new(false),
                last: AtomicU64::new(0),
                write_progress: AtomicU64::new(0),
                unread: AtomicU32::new(NO_WAIT),
                is_read_over: AtomicBool::new(false),
            })
        })
    }

    /// The first-byte timeout and the idle timeout.
    pub(super) fn timeouts(&self) -> [Option<Duration>; 2] {
        [self.timeouts.first_byte, self.timeouts.idle]
    }

    pub(super) fn is_read_over(&self) -> bool {
        self.is_read_over.load(Ordering::Relaxed)
    }

    /// A wait to send is over when the peer has read nothing for the idle timeout, whatever it sends
    /// meanwhile: otherwise a peer that only sends would keep what it does not read.
    fn deadline(&self, direction: Direction) -> Option<Instant> {
        let after = |from: u64, time: Option<Duration>| {
            (self.accepted + Duration::from_nanos(from)).checked_add(time?)
        };
        match direction {
            Direction::Write => after(
                self.write_progress.load(Ordering::Relaxed),
                self.timeouts.idle,
            ),
            Direction::Read => {
                let idle = after(self.last.load(Ordering::Relaxed), self.timeouts.idle);
                let first_byte = if self.has_received.load(Ordering::Relaxed) {
                    None
                } else {
                    after(0, self.timeouts.first_byte)
                };
                [first_byte, idle].into_iter().flatten().min()
            }
        }
    }

    /// The timeout that has passed.
    fn passed(&self, direction: Direction) -> LimitError {
        let limit = self.timeouts.idle.unwrap_or_default();
        match (direction, self.timeouts.first_byte) {
            (Direction::Write, _) => LimitError::WriteTimeout { limit },
            (Direction::Read, Some(limit))
                if !self.has_received.load(Ordering::Relaxed)
                    && self.accepted.elapsed() >= limit =>
            {
                LimitError::FirstByteTimeout { limit }
            }
            (Direction::Read, _) => LimitError::IdleTimeout { limit },
        }
    }

    pub(super) fn moved(&self, direction: Direction) {
        let now = self.now();
        self.last.store(now, Ordering::Relaxed);
        match direction {
            Direction::Read if !self.has_received.load(Ordering::Relaxed) => {
                self.has_received.store(true, Ordering::Relaxed);
            }
            Direction::Read => {}
            Direction::Write => {
                self.write_progress.store(now, Ordering::Relaxed);
                self.unread.store(NO_WAIT, Ordering::Relaxed);
            }
        }
    }

    /// A handler that works for longer than the idle timeout is not the peer's fault.
    fn begin_wait(&self, direction: Direction) {
        let now = self.now();
        match direction {
            Direction::Read => self.last.store(now, Ordering::Relaxed),
            Direction::Write => {
                self.write_progress.store(now, Ordering::Relaxed);
                self.unread.store(FULL, Ordering::Relaxed);
            }
        }
    }

    /// Starts the clocks anew if the peer of a write that waits has read since the last deadline. The
    /// kernel reports room only when three quarters of the send buffer are free, so that a peer that
    /// reads steadily is not seen otherwise.
    fn look_for_reading(&self, socket: BorrowedFd<'_>) {
        let before = match self.unread.load(Ordering::Relaxed) {
            NO_WAIT => return,
            FULL => {
                rustix::net::sockopt::socket_send_buffer_size(socket).map_or(0, |size| size as u32)
            }
            before => before,
        };
        let Ok(unread) = sys::socket::unread_by_peer(socket) else {
            return;
        };
        self.unread
            .store(unread.max(NO_WAIT + 1), Ordering::Relaxed);
        if unread < before {
            let now = self.now();
            self.last.store(now, Ordering::Relaxed);
            self.write_progress.store(now, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        // 584 years.
        self.accepted.elapsed().as_nanos() as u64
    }
}

/// The wait of one half of a connection.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    is_waiting: bool,
    /// Set to the earliest deadline, and not moved on each byte.
    timer: Option<Pin<Box<Sleep>>>,
    abort: Option<LatchWaiter>,
}

impl Waiting {
    /// Whether `abort` is open; if not, the task is woken when it opens.
    pub(super) fn poll_aborted(&mut self, cx: &mut Context<'_>, abort: &Arc<Latch>) -> bool {
        let new = || LatchWaiter::new(abort);
        self.abort.get_or_insert_with(new).poll_open(cx)
    }

    fn poll_over(
        &mut self,
        activity: &Activity,
        cx: &mut Context<'_>,
        direction: Direction,
        socket: BorrowedFd<'_>,
    ) -> Poll<io::Error> {
        if !std::mem::replace(&mut self.is_waiting, true) {
            activity.begin_wait(direction);
        }
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                let Some(deadline) = activity.deadline(direction) else {
                    return Poll::Pending;
                };
                let timer = Box::pin(tokio::time::sleep_until(deadline));
                self.timer.insert(timer)
            }
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            if activity.deadline(direction) <= Some(Instant::now()) {
                activity.look_for_reading(socket);
            }
            match activity.deadline(direction) {
                Some(deadline) if deadline > Instant::now() => timer.as_mut().reset(deadline),
                Some(_) => {
                    if direction == Direction::Read {
                        activity.is_read_over.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(activity.passed(direction).into());
                }
                None => return Poll::Pending,
            }
        }
    }
}

/// Call after each attempt to read or write: a deadline is checked only while that is pending, and
/// moves with each byte.
pub(super) fn enforce_deadlines<T>(
    activity: Option<&Activity>,
    waiting: &mut Option<Box<Waiting>>,
    cx: &mut Context<'_>,
    direction: Direction,
    socket: BorrowedFd<'_>,
    result: Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    let Some(activity) = activity else {
        return result;
    };
    if result.is_pending() {
        let waiting = waiting.get_or_insert_default();
        return waiting.poll_over(activity, cx, direction, socket).map(Err);
    }
    activity.moved(direction);
    end_wait(waiting);
    result
}

/// As [`enforce_deadlines`], for a wait until an attempt may succeed: no byte has moved then.
pub(super) fn enforce_deadlines_of_readiness(
    activity: Option<&Activity>,
    waiting: &mut Option<Box<Waiting>>,
    cx: &mut Context<'_>,
    direction: Direction,
    socket: BorrowedFd<'_>,
    ready: Poll<io::Result<()>>,
) -> Poll<io::Result<()>> {
    match activity {
        Some(_) if ready.is_ready() => end_wait(waiting),
        Some(_) => return enforce_deadlines(activity, waiting, cx, direction, socket, ready),
        None => {}
    }
    ready
}

fn end_wait(waiting: &mut Option<Box<Waiting>>) {
    if let Some(waiting) = waiting {
        waiting.is_waiting = false;
    }
}
