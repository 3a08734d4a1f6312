//! [`AcceptLoop`]: accepts connections, offers the listener to successors, and drains the backlog.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use super::Server;
use super::accept::{AcceptOutcome, Acceptor};
use super::connection::Connection;
use super::drain_timer::DrainTimer;
use super::log::{self, LogInterval};
use super::renewal::Renewal;
use crate::claim::{FileAccess, Ownership};
use crate::listener::{ConnectedSocket, SocketListener};
use crate::peer::Peer;
use crate::takeover::{ControlListener, Request};

pub(super) struct AcceptLoop<S: ConnectedSocket> {
    // Dropped in this order: successors see the control socket close after the files are removed.
    acceptor: Acceptor<S>,
    control: Option<ControlListener>,
    is_handed_over: bool,
    /// Mode and owner of the file before a successor had an offer.
    access: Option<FileAccess>,
    renewal: Renewal,
    /// For log lines about denied successors.
    denied: LogInterval,
    /// Whether a client comes before the next request.
    accepts_first: bool,
    /// [`Server::once`].
    once: bool,
    /// The one connection has been accepted.
    has_accepted_once: bool,
}

/// What is to be done next.
enum Turn<S: AsFd> {
    Accept(io::Result<AcceptOutcome<S>>),
    Request(Request),
    /// Files are to be recreated.
    Renewal,
}

enum AcceptLoopEvent<S: AsFd> {
    Accepted(AcceptOutcome<S>),
    /// A successor had an offer and gave up.
    GivenUp,
    HandedOver(Peer),
}

impl<S: ConnectedSocket> AcceptLoop<S> {
    pub(super) fn new(server: &Server, mut acceptor: Acceptor<S>) -> Self {
        let mut accept_loop = Self {
            control: control_of(acceptor.listener()),
            acceptor,
            is_handed_over: false,
            access: None,
            renewal: Renewal::new(server.renew.clone()),
            denied: LogInterval::default(),
            accepts_first: false,
            once: server.once,
            has_accepted_once: false,
        };
        // It may have gone before it was watched.
        accept_loop.look_after_control();
        accept_loop
    }

    /// Accepts until the server shuts down, a successor takes over, or the one connection of
    /// [`Server::once`] has closed; returns the successor.
    ///
    /// # Errors
    /// Where accepting has become impossible.
    pub(super) async fn serve(
        &mut self,
        timer: &mut DrainTimer,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
        handle: &mut impl FnMut(Connection<S>),
    ) -> io::Result<Option<Peer>> {
        let counters = Arc::clone(self.acceptor.counters());
        loop {
            let event = tokio::select! {
                biased;
                () = counters.all_closed(), if self.has_accepted_once => return Ok(None),
                () = &mut shutdown, if !timer.has_begun() => {
                    timer.begin();
                    // A successor with an offer may take the path. It is waited for, and clients are
                    // served meanwhile: the drain, which closes idle connections, begins after that.
                    if !self.stop_offering(timer.is_limited()) {
                        return Ok(None);
                    }
                    continue;
                }
                () = timer.is_handover_over(), if timer.has_begun() => return Ok(self.leave()),
                event = self.next(), if !self.has_accepted_once => event?,
            };
            match event {
                AcceptLoopEvent::Accepted(AcceptOutcome::Connection(connection)) => {
                    handle(connection);
                    self.has_accepted_once = self.once;
                    if self.has_accepted_once {
                        // A successor that has an offer would get a socket that refuses everybody.
                        if let Some(successor) = self.revoke() {
                            return Ok(Some(successor));
                        }
                        self.acceptor.refuse_all();
                        self.control = None;
                    } else if self.acceptor.has_waited() {
                        yield_once().await;
                    }
                }
                AcceptLoopEvent::Accepted(AcceptOutcome::Again) => {}
                AcceptLoopEvent::Accepted(AcceptOutcome::Ended) => {
                    log::shut_down_by_others();
                    return Ok(None);
                }
                AcceptLoopEvent::GivenUp if timer.has_begun() => return Ok(None),
                AcceptLoopEvent::GivenUp => {}
                AcceptLoopEvent::HandedOver(successor) => return Ok(Some(successor)),
            }
        }
    }

    /// Refuses new clients, if the listener is still ours, and closes the control socket, which tells
    /// waiting successors.
    ///
    /// # Errors
    /// As [`SocketListener::refuse_new_clients`].
    pub(super) fn close(&mut self) -> io::Result<()> {
        let refused = self.acceptor.refuse_new_clients();
        self.control = None;
        refused
    }

    /// Accepts what is in the backlog, if that is still ours; `false` after the drain timeout.
    pub(super) async fn drain(
        &mut self,
        timer: &DrainTimer,
        handle: &mut impl FnMut(Connection<S>),
    ) -> bool {
        while !self.has_accepted_once
            && (!self.is_handed_over || self.acceptor.listener().has_older_readable())
        {
            tokio::select! {
                biased;
                () = timer.expired() => return false,
                next = self.acceptor.next_in_backlog() => match next {
                    Some(AcceptOutcome::Connection(connection)) => handle(connection),
                    Some(AcceptOutcome::Again | AcceptOutcome::Ended) => {}
                    None => break,
                },
            }
        }
        true
    }

    /// Counts what is still in the backlog as aborted.
    pub(super) fn abort_backlog(&mut self) {
        self.acceptor.abort_backlog();
    }

    /// Waits for a connection or a successor. An error ends the server.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> io::Result<AcceptLoopEvent<S>> {
        loop {
            // A successor with an offer may be taking over these files.
            let may_renew = !self
                .control
                .as_ref()
                .is_some_and(ControlListener::has_holder);
            let request = match self.turn(may_renew).await {
                Turn::Request(request) => request,
                Turn::Renewal => {
                    self.renew();
                    continue;
                }
                Turn::Accept(Ok(next)) => return Ok(AcceptLoopEvent::Accepted(next)),
                // A successor that took over and ended has shut the listener down.
                Turn::Accept(Err(error)) => {
                    return self.revoke().map(AcceptLoopEvent::HandedOver).ok_or(error);
                }
            };
            self.accepts_first = true;
            match request {
                Request::Nothing => {}
                Request::Descriptors => self.offer(),
                Request::FileChanged => self.look_after_control(),
                Request::Denied(peer) => log::takeover_denied(&mut self.denied, peer),
                Request::GivenUp => {
                    self.restore();
                    self.look_after_control();
                    return Ok(AcceptLoopEvent::GivenUp);
                }
                Request::Taken(successor) => {
                    self.hand_over();
                    return Ok(AcceptLoopEvent::HandedOver(successor));
                }
            }
        }
    }

    /// Waits for what is to be done next. After a request a client comes first: processes that connect
    /// to the control socket without end must not keep clients waiting.
    async fn turn(&mut self, may_renew: bool) -> Turn<S> {
        let accepts_first = std::mem::take(&mut self.accepts_first);
        let mut accept = pin!(self.acceptor.next());
        let mut request = pin!(request(&mut self.control));
        let mut due = pin!(self.renewal.is_due());
        poll_fn(|cx| {
            if accepts_first && let Poll::Ready(next) = accept.as_mut().poll(cx) {
                return Poll::Ready(Turn::Accept(next));
            }
            if let Poll::Ready(request) = request.as_mut().poll(cx) {
                return Poll::Ready(Turn::Request(request));
            }
            if may_renew && due.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Renewal);
            }
            if accepts_first {
                return Poll::Pending;
            }
            accept.as_mut().poll(cx).map(Turn::Accept)
        })
        .await
    }

    /// Makes no more offers; whether a successor still has one.
    fn stop_offering(&mut self, leaves: bool) -> bool {
        let control = self.control.as_mut();
        control.is_some_and(|control| control.stop(leaves))
    }

    /// Revokes an offer; returns the successor, if it took the path before that.
    fn revoke(&mut self) -> Option<Peer> {
        let successor = self.control.as_mut()?.revoke()?;
        self.hand_over();
        Some(successor)
    }

    /// Leaves the path to a successor that is ready; returns it. From any other the offer is withdrawn.
    fn leave(&mut self) -> Option<Peer> {
        let successor = self.control.as_mut()?.leave()?;
        self.hand_over();
        Some(successor)
    }

    fn hand_over(&mut self) {
        self.is_handed_over = true;
        self.acceptor.listener().set_ours(false);
    }

    /// Without a control socket successors do not find this server, so a missing one is recreated.
    fn look_after_control(&mut self) {
        let ownership = self.acceptor.listener().ownership();
        if ownership.is_some_and(|ownership| ownership.lacks_control() == Ok(true)) {
            self.renewal.soon();
        }
    }

    fn renew(&mut self) {
        let listener = self.acceptor.listener();
        if self.renewal.attempt(listener) {
            self.control = control_of(listener);
            self.look_after_control();
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

    /// Undoes what a successor that gave up may have done to mode and owner of the file.
    fn restore(&mut self) {
        let ownership = self.acceptor.listener().ownership();
        let (Some(ownership), Some(access)) = (ownership, self.access.take()) else {
            return;
        };
        if ownership.access().as_ref() != Some(&access)
            && let Err(error) = ownership.restore(&access)
        {
            log::not_restored(&error);
        }
    }
}

impl<S: ConnectedSocket> Drop for AcceptLoop<S> {
    fn drop(&mut self) {
        let _ = self.revoke();
    }
}

fn control_of<S: ConnectedSocket>(listener: &SocketListener<S>) -> Option<ControlListener> {
    let control = listener.control().unwrap_or_else(|error| {
        log::no_takeover(&error);
        None
    });
    let unwatched = control.as_ref().and_then(ControlListener::unwatched);
    // A removed one is recreated.
    if let Some(error) = unwatched.filter(|error| error.kind() != io::ErrorKind::NotFound) {
        log::unwatched(error);
    }
    control
}

/// The next request of a successor.
async fn request(control: &mut Option<ControlListener>) -> Request {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// Yields once, so that the handler of the last connection is polled before the next accept(2), which
/// mostly gets `EAGAIN`. Not after each connection of a burst: a yield polls every ready handler, and
/// new connections would wait for busy ones.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            Poll::Ready(())
        } else {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
