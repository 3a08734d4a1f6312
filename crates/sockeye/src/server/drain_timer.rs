//! [`DrainTimer`]: how long a server still goes on once it has begun to stop.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Server;

pub(super) struct DrainTimer {
    drain: Duration,
    abort: CancellationToken,
    /// Once it has begun; the end of the time for draining, if that has one.
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

    pub(super) fn begin(&mut self) {
        let end = || Instant::now().checked_add(self.drain);
        self.begun.get_or_insert_with(end);
    }

    /// Completes when what is still under way is to be cut off.
    pub(super) async fn expired(&self) {
        match self.begun.flatten() {
            Some(end) => {
                let _ = tokio::time::timeout_at(end, self.abort.cancelled()).await;
            }
            None => self.abort.cancelled().await,
        }
    }
}
