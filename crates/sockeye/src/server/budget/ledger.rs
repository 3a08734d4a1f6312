//! [`Ledger`]: what each connection holds, and which one is evicted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Amount, Evict};
use crate::server::LimitError;

/// An arriving message weighs less than a stalled one: what it holds is weighted with the time since
/// its last input, within these bounds.
const STALL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// Only a message that holds no more than this part of the limit is weighted.
const SMALL_PART: usize = 8;
/// How many of those that hold most are compared.
const CANDIDATES: usize = 256;

#[derive(Debug)]
pub(super) struct Ledger {
    holders: BTreeMap<u64, LedgerEntry>,
    pub(super) bytes: Ranking,
    fds: Ranking,
}

/// A user id; all unmapped users are one.
pub(super) type User = Option<u32>;

#[derive(Debug)]
pub(super) struct LedgerEntry {
    amount: Amount,
    user: User,
    pub(super) share: Arc<dyn Evict>,
}

/// Which connections hold how much, of bytes or of fds.
#[derive(Debug)]
pub(super) struct Ranking {
    limit: usize,
    pub(super) total: usize,
    users: BTreeMap<User, UserTotal>,
}

/// What one user's connections hold.
#[derive(Debug, Default)]
struct UserTotal {
    total: usize,
    /// Since when each connection has held its amount.
    by_amount: BTreeMap<(usize, u64), Instant>,
}

impl Ledger {
    pub(super) fn new(bytes: usize, fds: usize) -> Self {
        Self {
            holders: BTreeMap::new(),
            bytes: Ranking::new(bytes),
            fds: Ranking::new(fds),
        }
    }

    pub(super) fn set(&mut self, id: u64, user: User, amount: Amount, share: &Arc<dyn Evict>) {
        self.remove(id);
        let now = Instant::now();
        self.bytes.add(user, amount.bytes, id, now);
        self.fds.add(user, amount.fds, id, now);
        let holder = LedgerEntry {
            amount,
            user,
            share: Arc::clone(share),
        };
        self.holders.insert(id, holder);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<LedgerEntry> {
        let holder = self.holders.remove(&id)?;
        self.bytes.remove(holder.user, holder.amount.bytes, id);
        self.fds.remove(holder.user, holder.amount.fds, id);
        Some(holder)
    }

    /// The connection to evict, if a limit is exceeded, and its error.
    pub(super) fn too_much(&self) -> Option<(u64, LimitError)> {
        if let Some((held, id)) = self.bytes.victim() {
            let limit = self.bytes.limit;
            return Some((id, LimitError::Buffered { held, limit }));
        }
        let (held, id) = self.fds.victim()?;
        let limit = self.fds.limit;
        Some((id, LimitError::Descriptors { held, limit }))
    }
}

impl Ranking {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            total: 0,
            users: BTreeMap::new(),
        }
    }

    fn add(&mut self, user: User, amount: usize, id: u64, now: Instant) {
        if amount > 0 {
            let entry = self.users.entry(user).or_default();
            entry.by_amount.insert((amount, id), now);
            entry.total += amount;
            self.total += amount;
        }
    }

    fn remove(&mut self, user: User, amount: usize, id: u64) {
        if let Some(entry) = self.users.get_mut(&user)
            && entry.by_amount.remove(&(amount, id)).is_some()
        {
            entry.total -= amount;
            self.total -= amount;
            if entry.total == 0 {
                self.users.remove(&user);
            }
        }
    }

    /// The connection to evict if all hold too much: of the user whose connections hold most, the one
    /// that holds most. But an arriving message will soon be done with what it holds, unless that is a
    /// large part of the limit.
    fn victim(&self) -> Option<(usize, u64)> {
        if self.total <= self.limit {
            return None;
        }
        let now = Instant::now();
        let weight = |held: usize, since: Instant| {
            let (least, most) = STALL;
            let stands = if held <= self.limit / SMALL_PART {
                now.duration_since(since).clamp(least, most)
            } else {
                most
            };
            held as u128 * stands.as_micros()
        };
        let entry = self.users.values().max_by_key(|entry| entry.total)?;
        let largest = entry.by_amount.iter().rev().take(CANDIDATES);
        let victim = largest.max_by_key(|((held, _), since)| weight(*held, **since));
        victim.map(|(victim, _)| *victim)
    }
}
