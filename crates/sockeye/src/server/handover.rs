//! [`Entrance`]: connections come in here, and successors that may take it over.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Server;
use super::accept::{Acceptor, Next};
use super::log;
use crate::claim::{ClaimErrorKind, FileAccess, Ownership};
use crate::listener::{Accepted, Listening};
use crate::peer::Peer;
use crate::takeover::{Control, Request};

/// Between two attempts to make files anew while somebody else has the lock, and how many there are.
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: u32 = 20;

pub(super) struct Entrance<S: Accepted> {
    // Dropped in this order: successors hear of our end after the files have gone.
    pub(super) acceptor: Acceptor<S>,
    control: Option<Control>,
    /// What the file was like before a successor had an offer.
    access: Option<FileAccess>,
    renew: Option<Arc<Notify>>,
    /// When to try that once more, and how often that was done.
    again: Option<(Instant, u32)>,
    /// Whether it was said that it failed.
    is_told: bool,
}

pub(super) enum Step<S> {
    Accepted(Next<S>),
    /// A successor had an offer, and it came to nothing.
    GivenUp,
    HandedOver(Peer),
}

impl<S: Accepted> Entrance<S> {
    pub(super) fn new(server: &Server, mut acceptor: Acceptor<S>) -> Self {
        Self {
            control: control_of(acceptor.listener()),
            acceptor,
            access: None,
            renew: server.renew.clone(),
            again: None,
            is_told: false,
        }
    }

    /// What happens next. An error ends the server.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Step<S>> {
        loop {
            let request = tokio::select! {
                biased;
                request = request(&mut self.control) => request,
                () = renewal(self.renew.as_deref(), self.again) => {
                    self.renew();
                    continue;
                }
                next = self.acceptor.next() => return match next {
                    Ok(next) => Ok(Step::Accepted(next)),
                    // A successor that has ended meanwhile has shut the socket down.
                    Err(error) => self.revoke().map(Step::HandedOver).ok_or(error),
                },
            };
            match request {
                Request::Descriptors => self.offer(),
                Request::GivenUp => {
                    self.restore();
                    return Ok(Step::GivenUp);
                }
                Request::Taken(successor) => {
                    self.acceptor.listener().set_ours(false);
                    return Ok(Step::HandedOver(successor));
                }
            }
        }
    }

    /// Makes no more offers. Whether a successor has one still.
    pub(super) fn stop_offering(&mut self) -> bool {
        self.control.as_mut().is_some_and(Control::stop)
    }

    /// Takes an offer back. Who has taken the path before that.
    pub(super) fn revoke(&mut self) -> Option<Peer> {
        let successor = self.control.as_mut()?.revoke()?;
        self.acceptor.listener().set_ours(false);
        Some(successor)
    }

    /// Successors that still wait hear that nothing is handed over. The files must have gone by
    /// now, if they are to go.
    pub(super) fn close_control(&mut self) {
        self.control = None;
    }

    /// Who has an offer may take the files that there are.
    fn renew(&mut self) {
        if self.control.as_ref().is_some_and(Control::has_holder) {
            return;
        }
        let listener = self.acceptor.listener();
        let tries = self.again.take().map_or(0, |(_, tries)| tries);
        match listener.renew() {
            Ok(has_new_control) => {
                if has_new_control {
                    self.control = control_of(listener);
                }
                self.is_told = false;
            }
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
    }

    fn offer(&mut self) {
        self.renew();
        let Some(control) = &mut self.control else {
            return;
        };
        let listener = self.acceptor.listener();
        match listener.to_pass_on().filter(|_| listener.is_intact()) {
            Some(descriptors) => {
                self.access = listener.ownership().and_then(Ownership::access);
                control.offer(&descriptors);
            }
            None => control.refuse(),
        }
    }

    /// A successor has given the file another mode, maybe.
    fn restore(&mut self) {
        let ownership = self.acceptor.listener().ownership();
        let (Some(ownership), Some(access)) = (ownership, self.access.take()) else {
            return;
        };
        if ownership.access() != Some(access)
            && let Err(error) = ownership.restore(access)
        {
            log::not_restored(&error);
        }
    }
}

impl<S: Accepted> Drop for Entrance<S> {
    fn drop(&mut self) {
        let _ = self.revoke();
    }
}

fn control_of<S: Accepted>(listener: &Listening<S>) -> Option<Control> {
    listener.control().unwrap_or_else(|error| {
        log::no_takeover(&error);
        None
    })
}

/// Waits until files may have to be made anew.
async fn renewal(asked: Option<&Notify>, again: Option<(Instant, u32)>) {
    match (again, asked) {
        (Some((at, _)), _) => tokio::time::sleep_until(at).await,
        (None, Some(asked)) => asked.notified().await,
        (None, None) => std::future::pending().await,
    }
}

/// The next request of a successor.
async fn request(control: &mut Option<Control>) -> Request {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}
