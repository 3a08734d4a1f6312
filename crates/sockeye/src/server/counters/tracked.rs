//! [`Tracked`]: what a drain waits for.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Counters;

/// Held by each open connection, and by each handler while it runs: a drain waits for them. It is one
/// pointer, where a token of tokio-util's TaskTracker beside the counters is two.
#[derive(Debug)]
pub(in crate::server) struct Tracked(Arc<Counters>);

impl Tracked {
    pub(in crate::server) fn new(counters: &Arc<Counters>) -> Self {
        counters.tracked.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Deref for Tracked {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let is_last = self.0.tracked.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last && self.0.awaits_none.load(Ordering::SeqCst) {
            self.0.none_tracked.notify_waiters();
        }
    }
}
