//! [`Latch`] and [`LatchWaiter`]: a cancellation signal that is almost free to poll.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio_util::sync::CancellationToken;

/// A flag that is read without a lock, the wakers that wait for it, and a token for handlers.
#[derive(Debug, Default)]
pub(super) struct Latch {
    opened: AtomicBool,
    waiting: Mutex<Wakers>,
    token: CancellationToken,
}

/// The registered wakers, by index.
#[derive(Debug, Default)]
struct Wakers {
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

impl Latch {
    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::Release);
        self.token.cancel();
        // A waiter that registers from now on finds it open.
        for waker in self.waiting().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn waiting(&self) -> MutexGuard<'_, Wakers> {
        // It is consistent at any point where a waker could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a [`Latch`] inside of a poll function.
///
/// tokio-util's future takes 80 bytes on the heap for each connection, and locks the token, which all
/// connections share, at each poll. A task's waker hardly ever changes, so it is registered once and
/// compared afterwards.
#[derive(Debug)]
pub(crate) struct LatchWaiter {
    latch: Arc<Latch>,
    /// The waker and its index.
    registered: Option<(Waker, u32)>,
}

impl LatchWaiter {
    pub(super) fn new(latch: &Arc<Latch>) -> Self {
        Self {
            latch: Arc::clone(latch),
            registered: None,
        }
    }

    pub(super) fn latch(&self) -> &Arc<Latch> {
        &self.latch
    }

    /// Cancelled when the latch opens. Cancelling it changes nothing for others.
    #[cfg(feature = "http")]
    pub(crate) fn token(&self) -> CancellationToken {
        self.latch.token.child_token()
    }

    /// Whether the latch is open; if not, the task is woken when it opens.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> bool {
        let waker = cx.waker();
        let is_known = self
            .registered
            .as_ref()
            .is_some_and(|(known, _)| known.will_wake(waker));
        if !is_known {
            self.register(waker);
        }
        // After the registration: it may have opened in between.
        self.latch.is_open()
    }

    fn register(&mut self, waker: &Waker) {
        let mut waiting = self.latch.waiting();
        let number = match &self.registered {
            Some((_, number)) => *number,
            None => waiting.free.pop().unwrap_or_else(|| {
                waiting.wakers.push(None);
                // More connections than a u32 do not fit into memory.
                (waiting.wakers.len() - 1) as u32
            }),
        };
        waiting.wakers[number as usize] = Some(waker.clone());
        drop(waiting);
        self.registered = Some((waker.clone(), number));
    }
}

impl Drop for LatchWaiter {
    fn drop(&mut self) {
        if let Some((_, number)) = self.registered {
            let mut waiting = self.latch.waiting();
            let waker = waiting.wakers[number as usize].take();
            waiting.free.push(number);
            drop(waiting);
            // Not under the lock: it may drop a task, and that another LatchWaiter.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waiter_is_woken_and_a_dropped_one_is_not() {
        let latch = Arc::<Latch>::default();
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let wakers: Vec<Waker> = counts.iter().map(|c| Waker::from(Arc::clone(c))).collect();
        let poll = |waiter: &mut LatchWaiter, at: usize| {
            waiter.poll_open(&mut Context::from_waker(&wakers[at]))
        };
        let mut first = LatchWaiter::new(&latch);
        let mut second = LatchWaiter::new(&latch);
        assert!(!poll(&mut first, 0));
        assert!(!poll(&mut second, 1));
        drop(first);
        // It reuses the index of the first, and moves to another task.
        let mut third = LatchWaiter::new(&latch);
        assert!(!poll(&mut third, 0));
        assert!(!poll(&mut third, 2));
        assert_eq!(latch.waiting().wakers.len(), 2);
        latch.open();
        let woken: Vec<usize> = counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [0, 1, 1]);
        assert!(poll(&mut second, 1));
        assert!(
            poll(&mut LatchWaiter::new(&latch), 0),
            "a later waiter, too"
        );
    }
}
