//! [`RelayLog`]: log lines about connections, and how many have failed.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::relay::{DirectionReport, RelayAddress, RelayReport};
use tracing::{debug, warn};

use super::client_name::ClientName;
use crate::output;
use crate::stdio::log::LineQuota;

pub(super) struct RelayLog {
    quota: LineQuota,
    failed: AtomicU64,
}

impl RelayLog {
    pub(super) fn new() -> Self {
        Self {
            quota: LineQuota::new(),
            failed: AtomicU64::new(0),
        }
    }

    /// How many connections the relay has ended with an error.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Says why a client is not joined to a target.
    pub(super) fn not_joined(&self, client: &ClientName, why: &dyn Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if self.quota.pass() {
            warn!("{client}: {why}; its connection is closed");
        }
    }

    /// Says how a connection has ended.
    pub(super) fn ended(&self, client: &ClientName, target: &RelayAddress, report: &RelayReport) {
        let target = target.quoted();
        if let Some(failure) = &report.failure {
            self.failed.fetch_add(1, Ordering::Relaxed);
            if self.quota.pass() {
                warn!("{client}: joined to {target}: {failure}; the connection is aborted");
            }
        }
        debug!(
            "{client}: joined to {target}, ended: to the target {}, to the client {}",
            describe(&report.to_target),
            describe(&report.to_client)
        );
    }

    /// Says how many lines were withheld.
    pub(super) fn tell_rest(&self) {
        self.quota.tell_rest();
    }
}

/// `12 bytes, 1 file descriptor (EOF)`
fn describe(report: &DirectionReport) -> String {
    let mut text = output::bytes(report.bytes as usize);
    let lost = report.lost_bytes as usize;
    for (count, one, many) in [
        (report.records, "record", "records"),
        (report.fds, "file descriptor", "file descriptors"),
        (
            report.lost_fds,
            "file descriptor closed",
            "file descriptors closed",
        ),
        (report.lost_records, "record lost", "records lost"),
    ] {
        match count {
            0 => {}
            1 => text += &format!(", 1 {one}"),
            _ => text += &format!(", {count} {many}"),
        }
    }
    if lost > 0 {
        text += &format!(", {} lost", output::bytes(lost));
    }
    format!("{text} ({})", report.end)
}
