//! [`Renew`] and [`Renewal`]: removed files of the address are made anew.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::log;
use crate::claim::{ClaimError, ClaimErrorKind};
use crate::listener::{ConnectedSocket, SocketListener};

/// Between two attempts while somebody else has the lock, and how many there are.
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: u32 = 20;
/// How long after the control socket's file was removed: whoever removes the whole directory is done
/// by then, and does not find it filled again.
const DELAY: Duration = Duration::from_millis(100);

/// Has a server look after its files; given to it with
/// [`Server::renew_files`](super::Server::renew_files).
#[derive(Debug, Clone, Default)]
pub struct Renew(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: Notify,
    /// Why it has failed, if it has, each time that it was done.
    done: watch::Sender<Option<Arc<ClaimError>>>,
}

impl Renew {
    /// Has the server make its files anew where somebody has removed them, and waits until it has;
    /// for ever where no server runs.
    ///
    /// # Errors
    /// Where they could not be made: somebody else may have the path by now.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it to the server.
    pub async fn ask(&self) -> Result<(), Arc<ClaimError>> {
        let mut done = self.0.done.subscribe();
        self.0.asked.notify_one();
        // It is never closed, since we hold it.
        let _ = done.changed().await;
        let failed = done.borrow().clone();
        failed.map_or(Ok(()), Err)
    }
}

pub(super) struct Renewal {
    asked: Option<Renew>,
    /// When to try it once more, and how often that was done.
    again: Option<(Instant, u32)>,
    /// Whether it was said that it failed.
    is_told: bool,
}

impl Renewal {
    pub(super) fn new(asked: Option<Renew>) -> Self {
        Self {
            asked,
            again: None,
            is_told: false,
        }
    }

    /// A file was removed.
    pub(super) fn soon(&mut self) {
        self.again.get_or_insert((Instant::now() + DELAY, 0));
    }

    /// Completes when files may have to be made anew.
    pub(super) async fn is_due(&self) {
        match (self.again, &self.asked) {
            (Some((at, _)), _) => tokio::time::sleep_until(at).await,
            (None, Some(renew)) => renew.0.asked.notified().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Makes anew what is missing. Whether there is another control socket.
    pub(super) fn attempt<S: ConnectedSocket>(&mut self, listener: &mut SocketListener<S>) -> bool {
        let tries = self.again.take().map_or(0, |(_, tries)| tries);
        let (has_new_control, result) = listener.renew();
        match result {
            Ok(()) => {
                self.is_told = false;
                self.answer(None);
            }
            Err(error) => {
                if let Some(delay) = retry_delay(&error)
                    && tries < TRIES
                {
                    self.again = Some((Instant::now() + delay, tries + 1));
                } else {
                    if !self.is_asked() && !std::mem::replace(&mut self.is_told, true) {
                        log::not_renewed(&error);
                    }
                    self.answer(Some(error));
                }
            }
        }
        has_new_control
    }

    /// Whether somebody waits, who is told the reason.
    fn is_asked(&self) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|renew| renew.0.done.receiver_count() > 0)
    }

    fn answer(&self, failed: Option<ClaimError>) {
        if let Some(renew) = &self.asked {
            renew.0.done.send_replace(failed.map(Arc::new));
        }
    }
}

/// When to try again after an error that may pass.
fn retry_delay(error: &ClaimError) -> Option<Duration> {
    match error.kind() {
        // A successor locks the path, too, before it finds that there is a server.
        ClaimErrorKind::Locked { .. } => Some(PAUSE),
        // A file was removed while it was made, before it was watched. Nothing else tells of that.
        ClaimErrorKind::FileLost(_) => Some(DELAY),
        ClaimErrorKind::Io if error.errno() == Some(Errno::NOENT) => Some(DELAY),
        _ => None,
    }
}
