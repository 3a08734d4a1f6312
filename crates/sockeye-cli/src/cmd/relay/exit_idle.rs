//! [`OpenConnections`]: how many connections are open, for `--exit-idle`.

use std::time::Duration;

use tokio::sync::watch;

#[derive(Clone)]
pub(super) struct OpenConnections(watch::Sender<usize>);

/// Counts as one open connection until it is dropped.
pub(super) struct OpenConnection(watch::Sender<usize>);

impl OpenConnections {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn enter(&self) -> OpenConnection {
        self.0.send_modify(|open| *open += 1);
        OpenConnection(self.0.clone())
    }

    /// Completes when none has been open for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        let mut open = self.0.subscribe();
        loop {
            let is_idle = *open.borrow_and_update() == 0;
            // It fails only without a sender, and we have one.
            if !is_idle {
                let _ = open.changed().await;
            } else if tokio::time::timeout(limit, open.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
