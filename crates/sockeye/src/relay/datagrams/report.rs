//! [`DatagramRelayReport`]: what a relay of datagrams has passed on, and what it could not.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::Report;

/// What a [`DatagramRelay`](super::DatagramRelay) has passed on, and what it could not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramRelayReport {
    /// From the clients to the targets.
    pub to_target: DatagramCounts,
    /// From the targets to the clients: answers.
    pub to_client: DatagramCounts,
    /// How many outgoing sockets were opened.
    pub senders: u64,
    /// How many of them were closed before their idle timeout, to make room for others.
    pub evicted: u64,
    /// How many of the datagrams to the targets were sent on after shutdown had begun.
    pub drained: u64,
}

/// The datagrams of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramCounts {
    /// Datagrams that were sent on, empty ones too.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// File descriptors that were sent on.
    pub fds: u64,
    /// Datagrams that were dropped since their sender broke a rule: the limit of a record, the allowed
    /// users, refused fds.
    pub refused: u64,
    /// Datagrams that were received, or lost while they were, and could not be sent on.
    pub dropped: u64,
    /// Datagrams that were not sent on when the drain timed out or was aborted.
    pub aborted: u64,
    /// File descriptors that were received and closed.
    pub lost_fds: u64,
}

impl DatagramRelayReport {
    /// In the words of a [`Server`](crate::server::Server)'s report, where a datagram counts as a
    /// connection does.
    #[must_use]
    pub fn summary(&self) -> Report {
        let (to_target, to_client) = (&self.to_target, &self.to_client);
        Report {
            served: to_target.datagrams - self.drained.min(to_target.datagrams),
            drained: self.drained,
            refused: to_target.refused,
            aborted: to_target.dropped + to_target.aborted,
            dropped_replies: to_client.refused + to_client.dropped + to_client.aborted,
            ..Report::default()
        }
    }
}

/// How a datagram that was not sent on is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossKind {
    Refused,
    Dropped,
    Aborted,
}

/// The counters of one direction, which several tasks share.
#[derive(Debug, Default)]
pub(super) struct DatagramCounters {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    fds: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    aborted: AtomicU64,
    lost_fds: AtomicU64,
}

impl DatagramCounters {
    pub(super) fn sent(&self, bytes: usize, fds: usize) {
        add(&self.datagrams, 1);
        add(&self.bytes, bytes as u64);
        if fds > 0 {
            add(&self.fds, fds as u64);
        }
    }

    pub(super) fn lost(&self, kind: LossKind, fds: usize) {
        let counter = match kind {
            LossKind::Refused => &self.refused,
            LossKind::Dropped => &self.dropped,
            LossKind::Aborted => &self.aborted,
        };
        add(counter, 1);
        self.lost_fds(fds);
    }

    pub(super) fn lost_fds(&self, fds: usize) {
        add(&self.lost_fds, fds as u64);
    }

    pub(super) fn counts(&self) -> DatagramCounts {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DatagramCounts {
            datagrams: now(&self.datagrams),
            bytes: now(&self.bytes),
            fds: now(&self.fds),
            refused: now(&self.refused),
            dropped: now(&self.dropped),
            aborted: now(&self.aborted),
            lost_fds: now(&self.lost_fds),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
