//! [`Renewal`]: when removed files of the address are made anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::log;
use crate::claim::ClaimErrorKind;
use crate::listener::{Accepted, Listening};

/// Between two attempts while somebody else has the lock, and how many there are.
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: u32 = 20;

pub(super) struct Renewal {
    asked: Option<Arc<Notify>>,
    /// When to try it once more, and how often that was done.
    again: Option<(Instant, u32)>,
    /// Whether it was said that it failed.
    is_told: bool,
}

impl Renewal {
    pub(super) fn new(asked: Option<Arc<Notify>>) -> Self {
        Self {
            asked,
            again: None,
            is_told: false,
        }
    }

    /// Completes when files may have to be made anew.
    pub(super) async fn is_due(&self) {
        match (self.again, &self.asked) {
            (Some((at, _)), _) => tokio::time::sleep_until(at).await,
            (None, Some(asked)) => asked.notified().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Makes anew what is missing. Whether there is another control socket.
    pub(super) fn attempt<S: Accepted>(&mut self, listener: &mut Listening<S>) -> bool {
        let tries = self.again.take().map_or(0, |(_, tries)| tries);
        let (has_new_control, result) = listener.renew();
        match result {
            Ok(()) => self.is_told = false,
            Err(error) => {
                let is_locked = matches!(error.kind(), ClaimErrorKind::Locked { .. });
                // A successor locks the path, too, before it finds that there is a server.
                if is_locked && tries < TRIES {
                    self.again = Some((Instant::now() + PAUSE, tries + 1));
                } else if !std::mem::replace(&mut self.is_told, true) {
                    log::not_renewed(&error);
                }
            }
        }
        has_new_control
    }
}
