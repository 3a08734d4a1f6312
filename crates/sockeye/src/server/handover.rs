//! [`Entrance`]: connections come in here, and successors that may take it over.

use std::io;

use super::accept::{Acceptor, Next};
use super::log;
use crate::claim::{FileAccess, Ownership};
use crate::listener::Accepted;
use crate::peer::Peer;
use crate::takeover::{Control, Request};

pub(super) struct Entrance<S: Accepted> {
    // Dropped in this order: successors hear of our end after the files have gone.
    pub(super) acceptor: Acceptor<S>,
    control: Option<Control>,
    /// What the file was like before a successor had an offer.
    access: Option<FileAccess>,
}

pub(super) enum Step<S> {
    Accepted(Next<S>),
    /// A successor had an offer, and it came to nothing.
    GivenUp,
    HandedOver(Peer),
}

impl<S: Accepted> Entrance<S> {
    pub(super) fn new(mut acceptor: Acceptor<S>) -> Self {
        let control = acceptor.listener().control().unwrap_or_else(|error| {
            log::no_takeover(&error);
            None
        });
        Self {
            acceptor,
            control,
            access: None,
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

    fn offer(&mut self) {
        let Some(control) = &mut self.control else {
            return;
        };
        let listener = self.acceptor.listener();
        match listener.to_pass_on() {
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

/// The next request of a successor.
async fn request(control: &mut Option<Control>) -> Request {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}
