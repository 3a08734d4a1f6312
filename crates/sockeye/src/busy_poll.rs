//! [`BusyPoll`]: polling a socket for a short time before sleeping, for latency.
//!
//! Waking a core that sleeps takes several times as long as a round trip between two that do not.
//! Polling saves that where the next message comes soon, and costs processor time where it does not;
//! so it is bounded, backs off after misses, and is off by default.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//! use sockeye::BusyPoll;
//!
//! let (mut client, mut server) = UnixStream::pair()?;
//! let mut busy = BusyPoll::new(Duration::from_micros(50));
//! server.write_all(b"soon")?;
//! busy.wait(&client)?;
//! // Whatever the outcome: reading sleeps if nothing has come.
//! client.read_exact(&mut [0; 4])?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
#[cfg(feature = "tokio")]
use tokio::task::coop;

/// From this many misses in a row on, every 16th wait is polled; a rarer one would notice too late
/// that messages come soon again.
const MOST_MISSES: u32 = 4;
/// How many times the socket is tried before yielding to the runtime's other tasks.
#[cfg(feature = "tokio")]
const BURST: usize = 16;

/// When to poll a connection before sleeping.
///
/// A wait in which nothing came in time is a miss. After one miss every second wait is polled, after
/// two every fourth, up to every 16th; after a hit every wait is polled again.
#[doc(alias = "SO_BUSY_POLL")]
#[doc(alias = "spin")]
#[derive(Debug, Clone)]
pub struct BusyPoll {
    limit: Duration,
    phase: Phase,
    /// In a row.
    misses: u32,
    /// How many waits are not to be polled.
    skip: u32,
    crowd: Option<SharedThreads>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No wait has begun.
    Idle,
    Polling(Instant),
    Asleep,
}

/// The connections that share a server's threads.
#[derive(Debug, Clone)]
struct SharedThreads {
    /// Messages of all of them.
    messages: Arc<AtomicU64>,
    /// How many there were at our last one.
    seen: u64,
    /// Whether as many others as there are workers came between our last two.
    was_busy: bool,
    workers: u64,
}

impl BusyPoll {
    /// Polls for at most `limit`; zero is never.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            phase: Phase::Idle,
            misses: 0,
            skip: 0,
            crowd: None,
        }
    }

    /// For the connections of a server with this many threads: where more connections than threads are
    /// active, it does not poll.
    #[cfg(feature = "tokio")]
    pub(crate) fn shared(limit: Duration, workers: usize) -> Self {
        Self {
            crowd: Some(SharedThreads {
                messages: Arc::default(),
                seen: 0,
                was_busy: false,
                workers: workers as u64,
            }),
            ..Self::new(limit)
        }
    }

    /// Polls `socket` with poll(2) until it is readable (or at EOF, or in error) or the time is over.
    /// Returns whether it is readable. After misses it may return at once.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&mut self, socket: impl AsFd) -> io::Result<bool> {
        loop {
            let mut state = [PollFd::new(&socket, PollFlags::IN)];
            match rustix::event::poll(&mut state, Some(&Timespec::default())) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    self.came();
                    return Ok(true);
                }
                Err(errno) => return Err(errno.into()),
            }
            if !self.asks_again() {
                // The caller sleeps and does not tell us.
                self.phase = Phase::Idle;
                return Ok(false);
            }
        }
    }

    /// After `EAGAIN`: whether to try again, or to sleep until the runtime reports readiness.
    pub(crate) fn asks_again(&mut self) -> bool {
        match self.phase {
            Phase::Asleep => false,
            Phase::Idle if self.limit.is_zero() || self.is_crowded() => self.sleep(),
            Phase::Idle if self.skip > 0 => {
                self.skip -= 1;
                self.sleep()
            }
            Phase::Idle => {
                self.phase = Phase::Polling(Instant::now());
                true
            }
            Phase::Polling(_) if self.is_crowded() => self.sleep(),
            Phase::Polling(since) if since.elapsed() < self.limit => true,
            Phase::Polling(_) => {
                self.misses = MOST_MISSES.min(self.misses + 1);
                self.skip = (1 << self.misses) - 1;
                self.sleep()
            }
        }
    }

    fn sleep(&mut self) -> bool {
        self.phase = Phase::Asleep;
        false
    }

    /// Something has come.
    pub(crate) fn came(&mut self) {
        if let Phase::Polling(_) = self.phase {
            self.misses = 0;
        }
        self.phase = Phase::Idle;
        if let Some(crowd) = &mut self.crowd {
            let before = crowd.messages.fetch_add(1, Ordering::Relaxed);
            crowd.was_busy = before - crowd.seen >= crowd.workers;
            crowd.seen = before + 1;
        }
    }

    /// Whether as many other messages as there are threads have come since our last one, or had come
    /// between that and the one before.
    fn is_crowded(&self) -> bool {
        self.crowd.as_ref().is_some_and(|crowd| {
            let others = crowd.messages.load(Ordering::Relaxed) - crowd.seen;
            crowd.was_busy || others >= crowd.workers
        })
    }
}

/// Tries to receive; `None` where it is time to sleep.
#[cfg(feature = "tokio")]
pub(crate) fn poll<T>(
    busy: &mut Option<Box<BusyPoll>>,
    cx: &mut Context<'_>,
    receive: &mut impl FnMut() -> io::Result<T>,
) -> Option<Poll<io::Result<T>>> {
    let busy = busy.as_mut()?;
    // A read that succeeds here bypasses the runtime's budget, which makes busy tasks yield; so it is
    // charged here.
    let Poll::Ready(budget) = coop::poll_proceed(cx) else {
        return Some(Poll::Pending);
    };
    for _ in 0..BURST {
        // Before the first attempt: where others have work it would be one EAGAIN for each message.
        if !busy.asks_again() {
            return None;
        }
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => {
                busy.came();
                budget.made_progress();
                return Some(Poll::Ready(done));
            }
        }
    }
    cx.waker().wake_by_ref();
    Some(Poll::Pending)
}

#[cfg(feature = "tokio")]
pub(crate) fn came(busy: &mut Option<Box<BusyPoll>>) {
    if let Some(busy) = busy {
        busy.came();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_nanos(1);

    /// Whether the next wait is polled, in which nothing comes in time.
    fn misses(busy: &mut BusyPoll) -> bool {
        let polls = busy.asks_again();
        while busy.asks_again() {}
        assert!(!busy.asks_again(), "it sleeps until something comes");
        busy.came();
        polls
    }

    #[test]
    fn zero_never_polls() {
        assert!(!BusyPoll::new(Duration::ZERO).asks_again());
    }

    #[test]
    fn misses_make_it_poll_less_and_less_and_a_hit_makes_it_poll_again() {
        let mut busy = BusyPoll::new(SHORT);
        let polled: Vec<bool> = (0..64).map(|_| misses(&mut busy)).collect();
        let at: Vec<usize> = (0..64).filter(|&at| polled[at]).collect();
        assert_eq!(at, [0, 2, 6, 14, 30, 46, 62]);

        busy.limit = LONG;
        busy.skip = 0;
        assert!(busy.asks_again());
        busy.came();
        busy.limit = SHORT;
        assert!(misses(&mut busy));
        assert!(!misses(&mut busy));
        assert!(misses(&mut busy), "as after one miss");
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_crowd_is_not_polled_for() {
        let mut one = BusyPoll::shared(LONG, 1);
        let mut other = one.clone();
        one.came();
        assert!(one.asks_again(), "it is alone");
        other.came();
        assert!(!one.asks_again(), "there is other work");
        one.came();
        assert!(!one.asks_again(), "there was, and is likely to be again");
        one.came();
        assert!(one.asks_again());
    }
}
