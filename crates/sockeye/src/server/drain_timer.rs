//! [`DrainTimer`]: the drain timeout of a server, and the token that ends a drain at once.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Server;

pub(super) struct DrainTimer {
    drain: Duration,
    abort: CancellationToken,
    /// Set once the drain has begun: its deadline, unless that is beyond all time.
    begun: Option<Option<Instant>>,
}

impl DrainTimer {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            drain: server.drain_timeout,
            abort: server.abort.clone(),
            begun: None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether the drain that has begun has an end.
    pub(super) fn is_limited(&self) -> bool {
        self.begun.flatten().is_some()
    }

    pub(super) fn begin(&mut self) {
        let end = || Instant::now().checked_add(self.drain);
        self.begun.get_or_insert_with(end);
    }

    /// Completes when a successor is not waited for any longer: the other half of the drain timeout is
    /// for what was accepted meanwhile.
    pub(super) async fn is_handover_over(&self) {
        let end = self.begun.flatten();
        self.aborted_or(end.map(|end| end - self.drain / 2)).await;
    }

    /// Completes when what still runs is to be aborted.
    pub(super) async fn expired(&self) {
        self.aborted_or(self.begun.flatten()).await;
    }

    async fn aborted_or(&self, end: Option<Instant>) {
        match end {
            Some(end) => {
                let _ = tokio::time::timeout_at(end, self.abort.cancelled()).await;
            }
            None => self.abort.cancelled().await,
        }
    }
}
