//! [`WarmConnections`]: which connections keep hyper and its buffers between two requests.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

/// How many of a server's connections may be warm and idle at the same time: 20 KiB each.
const MOST: usize = 256;

/// A connection without a request for this long, at most twice as long, is parked.
const PERIOD: Duration = Duration::from_millis(100);

/// To make a connection of hyper's takes as long as a third of a short request, so one that is in use
/// keeps it. A timer for each connection would cost as much, so all of them share one: what it wakes and
/// finds unused is parked.
#[derive(Debug, Default)]
pub(super) struct WarmConnections {
    wakers: Mutex<Vec<Waker>>,
    /// There is a first one.
    has_some: Notify,
    /// How often all were woken.
    sweeps: AtomicU64,
}

/// Since when one connection has been warm, in sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WarmSince(u64);

impl WarmConnections {
    /// `None` where too many are warm.
    pub(super) fn enter(&self, waker: &Waker) -> Option<WarmSince> {
        let mut wakers = self.wakers();
        if wakers.len() >= MOST {
            return None;
        }
        if wakers.is_empty() {
            self.has_some.notify_one();
        }
        wakers.push(waker.clone());
        Some(WarmSince(self.sweeps.load(Ordering::Relaxed)))
    }

    /// Whether all were woken since then.
    pub(super) fn is_swept(&self, since: WarmSince) -> bool {
        self.sweeps.load(Ordering::Relaxed) != since.0
    }

    /// Wakes them now and then.
    pub(super) async fn sweep(&self) -> Infallible {
        loop {
            self.has_some.notified().await;
            tokio::time::sleep(PERIOD).await;
            let mut wakers = self.wakers();
            self.sweeps.fetch_add(1, Ordering::Relaxed);
            let wakers = std::mem::take(&mut *wakers);
            // Not under the lock: a waker may run anything.
            for waker in wakers {
                waker.wake();
            }
        }
    }

    fn wakers(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Nothing under the lock panics half-way.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
