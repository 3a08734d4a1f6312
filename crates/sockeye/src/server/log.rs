//! The log lines of a server, written through `tracing` if that feature is on.
//!
//! [`LogInterval`] is their rate limit: one line of a kind a second, which ends in how many events it stands
//! for. The command's limit is another (`LineQuota`): each of its lines is about one client, so several a
//! second are of use, and those over the quota are counted in a line of their own.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::peer::Peer;

/// At most one line of a kind a second.
const INTERVAL: Duration = Duration::from_secs(1);

/// A rate limit: lets one line a second through and counts the others.
#[derive(Debug, Default)]
pub(super) struct LogInterval {
    last: Option<Instant>,
    count: u64,
}

impl LogInterval {
    /// The number of events since the last line, if another may be written now.
    fn pass(&mut self) -> Option<u64> {
        self.count += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn accept_failed(interval: &mut LogInterval, error: &io::Error, advice: &str) {
    if let Some(count) = interval.pass() {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            "cannot accept a connection: {error} ({count} since the last line); {advice}"
        );
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn refused(interval: &mut LogInterval, peer: Option<Peer>, why: &str) {
    if let Some(count) = interval.pass() {
        #[cfg(feature = "tracing")]
        match peer {
            Some(peer) => tracing::warn!("refused {peer}: {why} ({count} since the last line)"),
            None => tracing::warn!("refused a connection: {why} ({count} since the last line)"),
        }
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn handler_failed(interval: &mut LogInterval, error: &dyn fmt::Display) {
    if let Some(count) = interval.pass() {
        #[cfg(feature = "tracing")]
        {
            // It may quote what a client has sent.
            let error = format!("{error:#}");
            let error = crate::address::escaped(&error);
            tracing::warn!("a handler failed: {error} ({count} since the last line)");
        }
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn takeover_denied(interval: &mut LogInterval, peer: Peer) {
    if let Some(count) = interval.pass() {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            "refused to hand over to {peer}, who is neither our own user nor root as our user namespace shows it ({count} since the last line)"
        );
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn cannot_clean_up(error: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "cannot remove the socket file: {error}; remove it, or let the next server replace it"
    );
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn no_takeover(error: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!("no successor can take the address over: {error}; stop the server instead");
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn not_restored(error: &crate::claim::ClaimError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "cannot give the socket file back the mode and the owner that it had before a successor came: {error}"
    );
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn not_renewed(error: &crate::claim::ClaimError) {
    #[cfg(feature = "tracing")]
    tracing::warn!("removed files of the socket cannot be recreated: {error}");
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(super) fn unwatched(error: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        "cannot watch the file at which successors ask ({error}), so it is not recreated if somebody removes it; allow more watches (fs.inotify)"
    );
}

pub(super) fn shut_down_by_others() {
    #[cfg(feature = "tracing")]
    tracing::info!(
        "another process that has the listening socket has shut it down: no new clients, draining"
    );
}

pub(super) fn panicked() {
    #[cfg(feature = "tracing")]
    tracing::error!("a handler panicked; its connection is closed, the others go on");
}
