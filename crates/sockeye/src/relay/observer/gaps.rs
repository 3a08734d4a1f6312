//! [`ForwardedGaps`]: what the observer of a handle misses of what another observer hands over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ObservedGap;
use super::queue::DirectionKey;

/// What is missing before the next piece, or the end, of a direction that another observer hands over.
#[derive(Default)]
pub(super) struct ForwardedGaps(Mutex<HashMap<DirectionKey, ObservedGap>>);

impl ForwardedGaps {
    pub(super) fn add(&self, gap: &ObservedGap) {
        let (connection, direction) = (gap.connection, gap.direction);
        let mut gaps = self.lock();
        let sum = gaps
            .entry((connection, direction))
            .or_insert_with(|| ObservedGap::new(connection, direction));
        sum.pieces += gap.pieces;
        sum.bytes += gap.bytes;
        sum.fds += gap.fds;
    }

    pub(super) fn get(&self, key: DirectionKey) -> Option<ObservedGap> {
        self.lock().get(&key).copied()
    }

    pub(super) fn remove(&self, key: DirectionKey) -> Option<ObservedGap> {
        self.lock().remove(&key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DirectionKey, ObservedGap>> {
        // Nothing under the lock panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
