//! [`Budget`]: what all connections of a server together may hold while they wait, and eviction over it.

mod ledger;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::LimitError;
use crate::ancillary::MAX_DESCRIPTORS;
use crate::peer::Peer;
use ledger::{Ledger, User};
use rustix::process::{Resource, getrlimit};

/// The default: 64 MiB.
pub(super) const DEFAULT_BYTES: usize = 64 << 20;
/// The most fds, however high `RLIMIT_NOFILE` is.
const MOST_FDS: usize = 4096;

/// Bytes of memory and fds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) bytes: usize,
    pub(super) fds: usize,
}

/// Counts only what a connection holds while it waits, not a message that arrives with one read, nor a
/// reply that is sent at once.
#[derive(Debug)]
pub(super) struct Budget {
    ledger: Mutex<Ledger>,
    /// The id of the next connection.
    next: AtomicU64,
    /// How many evicted connections have not ended yet.
    ending: AtomicUsize,
}

impl Budget {
    /// `fds` is a quarter of `RLIMIT_NOFILE` by default: the rest is for connections. It always has
    /// room for the most fds of one message.
    pub(super) fn new(bytes: usize, fds: Option<usize>) -> Self {
        let open_files = || getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let fds = fds.unwrap_or_else(|| usize::try_from(open_files() / 4).unwrap_or(usize::MAX));
        Self {
            ledger: Mutex::new(Ledger::new(bytes, fds.clamp(MAX_DESCRIPTORS, MOST_FDS))),
            next: AtomicU64::new(0),
            ending: AtomicUsize::new(0),
        }
    }

    /// Whether an evicted connection has not ended yet.
    pub(super) fn is_evicting(&self) -> bool {
        self.ending.load(Ordering::Relaxed) > 0
    }

    /// Enters what `id` holds now, and evicts those that hold most while all hold too much.
    fn set(&self, id: u64, user: User, amount: Amount, share: &Arc<dyn Evict>) {
        let mut ledger = self.ledger();
        ledger.set(id, user, amount, share);
        let mut evicted = Vec::new();
        while let Some(victim) = ledger.too_much() {
            evicted.extend(
                ledger
                    .remove(victim.0)
                    .map(|holder| (holder.share, victim.1)),
            );
        }
        drop(ledger);
        for (share, why) in evicted {
            share.evict(why, &self.ending);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing under the lock panics half-way.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiting connection that can be evicted.
trait Evict: Send + Sync + std::fmt::Debug {
    fn evict(&self, why: LimitError, ending: &AtomicUsize);
}

/// Where a connection parks what it holds while it waits, so that an eviction frees it at once and not
/// when the connection is polled.
struct Share<T>(Mutex<ShareState<T>>);

struct ShareState<T> {
    parked: Option<T>,
    waker: Option<Waker>,
    evicted: Option<LimitError>,
    /// Whether the connection has ended.
    is_gone: bool,
}

impl<T> ShareState<T> {
    fn may_stay(&self) -> io::Result<()> {
        match &self.evicted {
            None => Ok(()),
            Some(why) => Err(why.clone().into()),
        }
    }
}

impl<T> Share<T> {
    fn state(&self) -> MutexGuard<'_, ShareState<T>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::fmt::Debug for Share<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").finish_non_exhaustive()
    }
}

impl<T: Send> Evict for Share<T> {
    fn evict(&self, why: LimitError, ending: &AtomicUsize) {
        let mut state = self.state();
        if state.is_gone {
            return;
        }
        // A connection that parks at the same time can be entered, and chosen, once more.
        if state.evicted.is_none() {
            state.evicted = Some(why);
            ending.fetch_add(1, Ordering::Relaxed);
        }
        let (parked, waker) = (state.parked.take(), state.waker.take());
        drop(state);
        // Not under the lock: dropping and waking may run anything.
        drop(parked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What one connection holds, entered in the [`Budget`] until it is dropped.
pub(super) struct Hold<T: Send + 'static> {
    budget: Arc<Budget>,
    id: u64,
    user: User,
    share: Arc<Share<T>>,
    entered: Amount,
}

impl<T: Send + 'static> Hold<T> {
    /// For a connection with that peer.
    pub(super) fn new(budget: &Arc<Budget>, peer: io::Result<Peer>) -> Box<Self> {
        Box::new(Self {
            budget: Arc::clone(budget),
            id: budget.next.fetch_add(1, Ordering::Relaxed),
            user: peer.ok().and_then(|peer| peer.uid()),
            share: Arc::new(Share(Mutex::new(ShareState {
                parked: None,
                waker: None,
                evicted: None,
                is_gone: false,
            }))),
            entered: Amount::default(),
        })
    }

    /// Parks `what` while the task waits.
    ///
    /// # Errors
    /// [`LimitError`], if this connection was evicted.
    pub(super) fn park(&mut self, what: T, amount: Amount, waker: &Waker) -> io::Result<()> {
        let mut state = self.share.state();
        state.may_stay()?;
        state.parked = Some(what);
        match &mut state.waker {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
        drop(state);
        if amount != self.entered {
            self.entered = amount;
            let share: Arc<dyn Evict> = Arc::clone(&self.share) as _;
            self.budget.set(self.id, self.user, amount, &share);
        }
        self.share.state().may_stay()
    }

    /// Takes back what was parked, if anything.
    ///
    /// # Errors
    /// As [`Self::park`].
    pub(super) fn take(&mut self) -> io::Result<Option<T>> {
        let mut state = self.share.state();
        state.may_stay()?;
        Ok(state.parked.take())
    }

    /// Looks at what is parked, if anything.
    pub(super) fn look<U>(&self, look: impl FnOnce(&T) -> U) -> Option<U> {
        self.share.state().parked.as_ref().map(look)
    }
}

impl<T: Send + 'static> Drop for Hold<T> {
    fn drop(&mut self) {
        self.budget.ledger().remove(self.id);
        let mut state = self.share.state();
        state.is_gone = true;
        if state.evicted.is_some() {
            self.budget.ending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
