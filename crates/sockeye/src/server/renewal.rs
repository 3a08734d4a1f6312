//! [`Renew`] and [`Renewal`]: removed files of the address are recreated.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::log;
use crate::claim::{ClaimError, ClaimErrorKind};
use crate::listener::{ConnectedSocket, SocketListener};

/// The pause between two attempts while another process has the lock.
const PAUSE: Duration = Duration::from_millis(10);
/// The number of these attempts.
const TRIES: u32 = 20;
/// How long to wait after the control socket's file was removed: a process that removes the whole
/// directory is done by then.
const DELAY: Duration = Duration::from_millis(100);

/// How long to wait after so many attempts in which the file was removed at once.
const LATER: Duration = Duration::from_secs(1);

/// Has a server recreate its files; given to it with
/// [`Server::renew_files`](super::Server::renew_files).
#[derive(Debug, Clone, Default)]
pub struct Renew(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: Notify,
    /// The error of each attempt, if it failed.
    done: watch::Sender<Option<Arc<ClaimError>>>,
}

impl Renew {
    /// Has the server recreate removed files, and waits until it has; forever where no server runs.
    ///
    /// # Errors
    /// [`ClaimError`] where they could not be made: another process may have the path by now.
    ///
    /// # Cancel safety
    /// Dropping the future does not cancel the work.
    pub async fn ask(&self) -> Result<(), Arc<ClaimError>> {
        let mut done = self.0.done.subscribe();
        self.0.asked.notify_one();
        // The channel is never closed, since we hold the sender.
        let _ = done.changed().await;
        let failed = done.borrow().clone();
        failed.map_or(Ok(()), Err)
    }
}

pub(super) struct Renewal {
    asked: Option<Renew>,
    /// When the next attempt is due, and how many there were.
    again: Option<(Instant, u32)>,
    /// Whether the failure was logged.
    is_logged: bool,
}

impl Renewal {
    pub(super) fn new(asked: Option<Renew>) -> Self {
        Self {
            asked,
            again: None,
            is_logged: false,
        }
    }

    /// Schedules an attempt: a file was removed.
    pub(super) fn soon(&mut self) {
        self.again.get_or_insert((Instant::now() + DELAY, 0));
    }

    /// Completes when an attempt is due.
    pub(super) async fn is_due(&self) {
        match (self.again, &self.asked) {
            (Some((at, _)), _) => tokio::time::sleep_until(at).await,
            (None, Some(renew)) => renew.0.asked.notified().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Recreates what is missing; whether there is a new control socket.
    pub(super) fn attempt<S: ConnectedSocket>(&mut self, listener: &mut SocketListener<S>) -> bool {
        let tries = self.again.take().map_or(0, |(_, tries)| tries);
        let (has_new_control, result) = listener.renew();
        match result {
            Ok(()) => {
                self.is_logged = false;
                self.answer(None);
            }
            Err(error) => {
                let delay = retry_delay(&error);
                if let Some(delay) = delay.filter(|_| tries < TRIES) {
                    self.again = Some((Instant::now() + delay, tries + 1));
                } else {
                    if delay == Some(DELAY) {
                        // Somebody removes it each time; nothing would tell that this has ended.
                        self.again = Some((Instant::now() + LATER, TRIES));
                    }
                    if !self.is_asked() && !std::mem::replace(&mut self.is_logged, true) {
                        log::not_renewed(&error);
                    }
                    self.answer(Some(error));
                }
            }
        }
        has_new_control
    }

    /// Whether a caller of [`Renew::ask`] waits for the result.
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
