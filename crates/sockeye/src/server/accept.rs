//! [`Acceptor`]: connection permits, accept(2), and accept back-off after `EMFILE`.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::authorization::Authorize;
use super::connection::Connection;
use super::counters::{ConnectionGuard, ConnectionOutcome, Counters};
use super::log::{self, LogInterval};
use super::{Server, Timeouts};
use crate::backoff::Backoff;
use crate::busy_poll::BusyPoll;
use crate::listener::{ConnectedSocket, SocketListener};
use crate::peer::Peer;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many connections a drain accepts from an adopted or a TCP listener, whose backlog still grows: as many
/// as it can have had when the drain began, by the kernel's default for `net.core.somaxconn`.
const ADOPTED_BACKLOG: usize = 4096;

/// The accept loop of one server.
pub(super) struct Acceptor<S> {
    listener: SocketListener<S>,
    counters: Arc<Counters>,
    permits: Option<Arc<Semaphore>>,
    max_per_uid: Option<usize>,
    authorize: Option<Arc<Authorize>>,
    timeouts: Timeouts,
    /// Cloned for each connection.
    busy_poll: Option<BusyPoll>,
    backoff: Option<AcceptBackoff>,
    /// Whether the last accept had to wait.
    has_waited: bool,
    log_intervals: LogIntervals,
    /// How many connections a drain may still accept.
    drain_at_most: usize,
}

pub(super) enum AcceptOutcome<S: AsFd> {
    Connection(Connection<S>),
    /// None this time: it was refused, or accept(2) failed.
    Again,
    /// No more: another owner of the adopted listener has shut it down.
    Ended,
}

/// The back-off after accept(2) failed because fds or memory ran out.
struct AcceptBackoff {
    /// How many connections were open then.
    open: usize,
    /// When the next accept(2) is due.
    until: Instant,
    backoff: Backoff,
}

#[derive(Default)]
struct LogIntervals {
    connection: LogInterval,
    backoff: LogInterval,
    not_allowed: LogInterval,
    too_many: LogInterval,
}

/// What a failed accept(2) means for the next one.
#[derive(Debug, PartialEq, Eq)]
enum AcceptFailure {
    /// It concerns that connection only.
    Connection,
    /// The process or the system has run out of fds or memory; it passes when some are freed.
    OutOfResources,
    /// Accepting is impossible from now on.
    Fatal,
}

impl<S: ConnectedSocket> Acceptor<S> {
    pub(super) fn new(
        server: &Server,
        counters: &Arc<Counters>,
        listener: SocketListener<S>,
    ) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            counters: Arc::clone(counters),
            permits: server.max_connections.map(permits),
            max_per_uid: server.max_per_uid,
            authorize: server.authorization(),
            timeouts: server.timeouts,
            busy_poll: (!server.busy_poll.is_zero()).then(|| {
                let workers = tokio::runtime::Handle::current().metrics().num_workers();
                BusyPoll::shared(server.busy_poll, workers)
            }),
            backoff: None,
            has_waited: false,
            log_intervals: LogIntervals::default(),
            drain_at_most: if listener.can_refuse_clients() {
                usize::MAX
            } else {
                ADOPTED_BACKLOG
            },
            listener,
        }
    }

    /// Waits for a permit, then for a connection. An error ends the server.
    pub(super) async fn next(&mut self) -> io::Result<AcceptOutcome<S>> {
        let permit = self.permit().await;
        self.wait_out_backoff().await;
        self.has_waited = false;
        let accepted = {
            let mut accept = pin!(self.listener.accept());
            let accepted = poll_fn(|cx| {
                let accepted = accept.as_mut().poll(cx);
                self.has_waited |= accepted.is_pending();
                accepted
            });
            accepted.await
        };
        match accepted {
            Ok(stream) => {
                let mut guard = ConnectionGuard::new(&self.counters);
                guard.permit = permit;
                Ok(self.enter(stream, guard))
            }
            Err(error) if self.was_shut_down_by_others(&error) => Ok(AcceptOutcome::Ended),
            Err(error) => match self.failed(&error) {
                AcceptFailure::Fatal => Err(error),
                _ => Ok(AcceptOutcome::Again),
            },
        }
    }

    /// Whether the last [`Self::next`] had to wait: then the backlog is most likely empty.
    pub(super) fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Accepts from the backlog, then waits for a permit; `None` if the backlog is empty. In this
    /// order, so that an empty backlog keeps no successor waiting while all permits are taken. The
    /// backlog of an adopted listener, however, is left to its other owners until there is a permit.
    pub(super) async fn next_in_backlog(&mut self) -> Option<AcceptOutcome<S>> {
        if !self.may_drain() {
            return None;
        }
        tokio::task::coop::consume_budget().await;
        let is_ours = self.listener.is_ours();
        let early = if is_ours { None } else { self.permit().await };
        self.wait_out_backoff().await;
        match self.listener.try_accept() {
            Ok(Some(stream)) => {
                let mut guard = ConnectionGuard::new(&self.counters);
                // In case the drain times out before there is a permit.
                guard.set_outcome(ConnectionOutcome::Aborted);
                guard.permit = if is_ours { self.permit().await } else { early };
                Some(self.enter(stream, guard))
            }
            Ok(None) => None,
            Err(error) => match self.failed(&error) {
                AcceptFailure::Fatal => None,
                _ => Some(AcceptOutcome::Again),
            },
        }
    }

    pub(super) fn refuse_new_clients(&mut self) -> io::Result<()> {
        self.listener.refuse_new_clients()
    }

    /// Refuses new clients, and closes the connections in the backlog.
    pub(super) fn refuse_all(&mut self) {
        if let Err(error) = self.refuse_new_clients() {
            log::cannot_clean_up(&error);
        }
        while self.listener.is_ours()
            && self.may_drain()
            && let Ok(Some(stream)) = self.listener.try_accept()
        {
            ConnectionGuard::new(&self.counters).set_outcome(ConnectionOutcome::Refused);
            drop(stream);
        }
        self.listener.reset_backlog();
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn listener(&mut self) -> &mut SocketListener<S> {
        &mut self.listener
    }

    /// Counts the connections in the backlog, which is about to be closed, as aborted. Those of an
    /// adopted listener may be served by its other owners.
    pub(super) fn abort_backlog(&mut self) {
        while self.may_drain() && (self.listener.is_ours() || self.listener.has_older_readable()) {
            match self.listener.try_accept() {
                Ok(Some(_)) => self.counters.count_aborted(),
                Ok(None) => break,
                Err(_) => {
                    // There is one, and how many more is unknown.
                    self.counters.count_aborted();
                    break;
                }
            }
        }
    }

    /// Counts one more connection from the backlog.
    fn may_drain(&mut self) -> bool {
        let left = self.drain_at_most.checked_sub(1);
        self.drain_at_most = left.unwrap_or_default();
        left.is_some()
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permits = Arc::clone(self.permits.as_ref()?);
        // The semaphore is never closed.
        permits.acquire_owned().await.ok()
    }

    /// Waits until a connection closes or the pause is over.
    async fn wait_out_backoff(&self) {
        let Some(backoff) = &self.backoff else {
            return;
        };
        let pause = tokio::time::sleep_until(backoff.until);
        tokio::pin!(pause);
        // With as many open as when accept(2) failed it would only fail again.
        while self.counters.open() >= backoff.open {
            tokio::select! {
                () = self.counters.one_closed() => {}
                () = &mut pause => break,
            }
        }
    }

    /// A listener of our own is shut down by ourselves, or by a successor.
    fn was_shut_down_by_others(&self, error: &io::Error) -> bool {
        !self.listener.is_ours() && Errno::from_io_error(error) == Some(Errno::INVAL)
    }

    fn failed(&mut self, error: &io::Error) -> AcceptFailure {
        let failure = classify(error);
        self.counters.accept_error();
        match failure {
            AcceptFailure::Connection => {
                let advice = "the client has gone";
                log::accept_failed(&mut self.log_intervals.connection, error, advice);
            }
            AcceptFailure::OutOfResources => {
                let first = || Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
                let mut backoff = self.backoff.take().map_or_else(first, |last| last.backoff);
                self.backoff = Some(AcceptBackoff {
                    open: self.counters.open(),
                    until: Instant::now() + backoff.next_pause(),
                    backoff,
                });
                let advice = "waiting for a connection to close; raise the limit (ulimit -n) or set a maximum of connections";
                log::accept_failed(&mut self.log_intervals.backoff, error, advice);
            }
            AcceptFailure::Fatal => {}
        }
        failure
    }

    /// Admits a connection, or closes it.
    fn enter(&mut self, mut stream: S, mut guard: ConnectionGuard) -> AcceptOutcome<S> {
        if self
            .backoff
            .as_ref()
            .is_some_and(|backoff| self.counters.open() > backoff.open)
        {
            self.backoff = None;
        }
        if self.max_per_uid.is_some() || self.authorize.is_some() {
            let peer = Peer::of(&stream);
            if !self.admits(stream.as_fd(), peer.as_ref().ok(), &mut guard) {
                guard.set_outcome(ConnectionOutcome::Refused);
                return AcceptOutcome::Again;
            }
        }
        if let Some(busy) = &self.busy_poll {
            stream.poll_busily(busy.clone());
        }
        AcceptOutcome::Connection(Connection::new(stream, self.timeouts, guard))
    }

    fn admits(
        &mut self,
        socket: BorrowedFd<'_>,
        peer: Option<&Peer>,
        guard: &mut ConnectionGuard,
    ) -> bool {
        let Some(peer) = peer else {
            let why = "its credentials are unknown";
            log::refused(&mut self.log_intervals.not_allowed, None, why);
            return false;
        };
        if let Some(allow) = &self.authorize
            && !catch_unwind(AssertUnwindSafe(|| allow(peer, socket))).unwrap_or(false)
        {
            log::refused(
                &mut self.log_intervals.not_allowed,
                Some(*peer),
                "not allowed",
            );
            return false;
        }
        if let Some(most) = self.max_per_uid
            && !guard.within(peer.uid(), most)
        {
            let why = "its user has as many connections as it may";
            log::refused(&mut self.log_intervals.too_many, Some(*peer), why);
            return false;
        }
        true
    }
}

/// accept(2) lists the errors; a UNIX socket knows few of them. Those of the network are of the new
/// connection; so is `EOPNOTSUPP`, since a listener was found to be one before.
fn classify(error: &io::Error) -> AcceptFailure {
    match Errno::from_io_error(error) {
        Some(
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::TIMEDOUT,
        ) => AcceptFailure::Connection,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::FAULT) => AcceptFailure::Fatal,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and unknown errors: back off.
        _ => AcceptFailure::OutOfResources,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_classified() {
        let of = |errno: Errno| classify(&errno.into());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(errno), AcceptFailure::OutOfResources);
        }
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            assert_eq!(of(errno), AcceptFailure::Fatal);
        }
        for errno in [
            Errno::CONNABORTED,
            Errno::INTR,
            Errno::NETDOWN,
            Errno::PROTO,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::NONET,
            Errno::HOSTUNREACH,
            Errno::OPNOTSUPP,
            Errno::NETUNREACH,
        ] {
            assert_eq!(of(errno), AcceptFailure::Connection);
        }
    }
}
