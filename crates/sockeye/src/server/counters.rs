//! [`Counters`]: how each connection ended, counted for the [`Report`].

mod marks;
mod outcome;
mod tracked;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use marks::{Mark, Marks};
pub(super) use outcome::ConnectionOutcome;
pub(super) use tracked::Tracked;

use super::Server;
use super::budget::Budget;
use super::handler_panic::HandlerPanic;
use super::latch::{Latch, LatchWaiter};
use super::log::{self, LogInterval};
use crate::sys;

/// What a server has done, in connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Ended before shutdown began, and nothing was lost by our decision.
    pub served: u64,
    /// Closed before a handler saw them: by `allow_users` and its like,
    /// `authorize` or `max_per_uid`.
    pub refused: u64,
    /// Were open or in the backlog when shutdown began, and ended gracefully.
    pub drained: u64,
    /// Aborted: at the drain timeout with a message or a send in progress, in a drain with unread
    /// input, or at any time by a handler that panicked, by
    /// [`Connection::mark_aborted`](super::Connection::mark_aborted), or because our own resources ran
    /// out ([`max_buffered`](super::Server::max_buffered), fds). A handler that returns before the drain
    /// and leaves input unread counts as served, though its client may read `ECONNRESET`. A client that
    /// breaks a rule, such as the message limit, does not count; one whose read has timed out does where
    /// something arrived unread at the last instant.
    pub aborted: u64,
    /// Failed calls of accept(2).
    pub accept_errors: u64,
    /// Handlers that returned an error. Their connections count as served, drained or aborted, too.
    pub failed: u64,
    /// Replies to datagrams that could not be delivered; always 0 for a [`Server`](super::Server).
    pub dropped_replies: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "served {}, refused {}, drained {}, aborted {}, accept errors {}",
            self.served, self.refused, self.drained, self.aborted, self.accept_errors
        )?;
        if self.dropped_replies > 0 {
            write!(f, ", dropped answers {}", self.dropped_replies)?;
        }
        if self.failed > 0 {
            write!(f, ", failed {}", self.failed)?;
        }
        Ok(())
    }
}

/// The counters that all connections of a server share.
#[derive(Debug)]
pub(super) struct Counters {
    served: AtomicU64,
    refused: AtomicU64,
    drained: AtomicU64,
    aborted: AtomicU64,
    accept_errors: AtomicU64,
    failed: AtomicU64,
    failure_log: Mutex<LogInterval>,
    /// Where `run` is to panic as a handler does.
    pub(super) panic: Option<HandlerPanic>,
    open: AtomicUsize,
    marks: Marks,
    per_uid: Mutex<HashMap<Option<u32>, usize>>,
    /// What all connections together may hold.
    pub(super) budget: Arc<Budget>,
    pub(super) message_timeout: Option<Duration>,
    /// Notified whenever a connection has closed.
    closed: Notify,
    /// How many [`Tracked`] there are.
    tracked: AtomicUsize,
    /// Whether somebody waits until there are none, and is notified.
    awaits_none: AtomicBool,
    none_tracked: Notify,
    /// Opened when shutdown begins.
    pub(super) drain: Arc<Latch>,
    /// Opened at the drain timeout.
    pub(super) abort: Arc<Latch>,
    /// Opened after the abort grace: handlers that still run are dropped.
    pub(super) dropped: Arc<Latch>,
}

impl Counters {
    pub(super) fn new(server: &Server) -> Arc<Self> {
        let budget = Budget::new(server.max_buffered, server.max_buffered_descriptors);
        Arc::new(Self {
            served: AtomicU64::default(),
            refused: AtomicU64::default(),
            drained: AtomicU64::default(),
            aborted: AtomicU64::default(),
            accept_errors: AtomicU64::default(),
            failed: AtomicU64::default(),
            failure_log: Mutex::default(),
            panic: server.propagates_panics.then(HandlerPanic::default),
            open: AtomicUsize::default(),
            marks: Marks::default(),
            per_uid: Mutex::default(),
            budget: Arc::new(budget),
            message_timeout: server.message_timeout,
            closed: Notify::new(),
            tracked: AtomicUsize::default(),
            awaits_none: AtomicBool::default(),
            none_tracked: Notify::new(),
            drain: Arc::default(),
            abort: Arc::default(),
            dropped: Arc::default(),
        })
    }

    pub(super) fn count_aborted(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self, error: &dyn fmt::Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        log::handler_failed(&mut lock(&self.failure_log), error);
    }

    pub(super) fn accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Completes when a connection has closed since the last call.
    pub(super) async fn one_closed(&self) {
        self.closed.notified().await;
    }

    /// Completes when all connections have closed and all handlers have returned. Call it only once no
    /// more are accepted.
    pub(super) async fn all_closed(&self) {
        // In this order, as a Tracked that is dropped looks in the other one.
        self.awaits_none.store(true, Ordering::SeqCst);
        loop {
            let mut notified = pin!(self.none_tracked.notified());
            notified.as_mut().enable();
            if self.tracked.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Cancels the abort token of all handlers, after `grace` drops their tasks, and waits until that
    /// is done, for `drop_timeout` at most: a handler that blocks its thread cannot be dropped.
    pub(super) async fn abort_all(&self, grace: Duration, drop_timeout: Duration) {
        self.abort.open();
        if !grace.is_zero() {
            let _ = tokio::time::timeout(grace, self.all_closed()).await;
        }
        self.dropped.open();
        let _ = tokio::time::timeout(drop_timeout, self.all_closed()).await;
    }

    /// Connections that are still open have outlived their handler. They count as aborted, and as
    /// drained where they are known to be idle and without unread input.
    pub(super) fn report(&self) -> Report {
        let open = self.open();
        let idle = if self.drain.is_open() {
            self.marks.idle(self.dropped.is_open()).min(open)
        } else {
            0
        };
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            served: get(&self.served),
            refused: get(&self.refused),
            drained: get(&self.drained) + idle as u64,
            aborted: get(&self.aborted) + (open - idle) as u64,
            accept_errors: get(&self.accept_errors),
            failed: get(&self.failed),
            dropped_replies: 0,
        }
    }
}

/// What [`Messages`](super::Messages) needs of the server that a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ServerSide<'a>(pub(super) &'a Counters);

impl<'a> ServerSide<'a> {
    pub(super) fn budget(self) -> &'a Arc<Budget> {
        &self.0.budget
    }

    /// How long a message may take from its first byte on.
    pub(super) fn message_timeout(self) -> Option<Duration> {
        self.0.message_timeout
    }

    pub(super) fn drain_signal(self) -> LatchWaiter {
        LatchWaiter::new(&self.0.drain)
    }
}

/// One connection in the [`Counters`], with its permit. Held inside of the connection, so that every
/// path that drops the connection frees it.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    /// A [`ConnectionOutcome`].
    outcome: AtomicU8,
    /// Whether it is idle, for a report, once that may have to know.
    mark: OnceLock<Arc<Mark>>,
    /// The user that it counts for, with a per-user limit. All unmapped users count as one.
    user: Option<Option<u32>>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    // Dropped last: a drain that waits for this has all that was freed.
    counters: Tracked,
}

impl ConnectionGuard {
    pub(super) fn new(counters: &Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::AcqRel);
        Self {
            outcome: AtomicU8::new(ConnectionOutcome::Busy as u8),
            mark: OnceLock::new(),
            user: None,
            permit: None,
            counters: Tracked::new(counters),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    fn outcome(&self) -> ConnectionOutcome {
        ConnectionOutcome::from_u8(self.outcome.load(Ordering::SeqCst))
    }

    pub(super) fn set_outcome(&mut self, outcome: ConnectionOutcome) {
        *self.outcome.get_mut() = outcome as u8;
    }

    /// Notes whether a message is in progress: twice for each message, so that what all connections
    /// share is left alone.
    pub(super) fn note_idle(&mut self, idle: bool) {
        let outcome = self.outcome.get_mut();
        *outcome = outcome::changed(*outcome, |outcome| outcome.noted(idle));
        self.update_mark();
    }

    /// As [`Self::note_idle`], where both halves of the connection may do it.
    pub(super) fn note_shared_idle(&self, idle: bool) {
        self.change(|outcome| outcome.noted(idle));
    }

    /// From now on a report knows of it while it is open.
    pub(super) fn report_while_open(&self, socket: BorrowedFd<'_>) {
        if self.mark.get().is_none() {
            self.mark.get_or_init(|| self.counters.marks.add(socket));
            self.update_mark();
        }
    }

    pub(super) fn mark_aborted(&self) {
        self.change(|_| ConnectionOutcome::Aborted);
    }

    /// Notes whether a send waits for the peer. It costs a load unless that has changed.
    pub(super) fn note_sending(&self, is_sending: bool) {
        if outcome::is_sending(self.outcome.load(Ordering::Relaxed)) != is_sending {
            self.update(|value| outcome::with_sending(value, is_sending));
        }
    }

    fn change(&self, new: impl Fn(ConnectionOutcome) -> ConnectionOutcome) {
        self.update(|value| outcome::changed(value, &new));
    }

    fn update(&self, new: impl Fn(u8) -> u8) {
        let order = Ordering::SeqCst;
        let update = |value| Some(new(value));
        let _ = self.outcome.fetch_update(order, order, update);
        self.update_mark();
    }

    fn update_mark(&self) {
        let Some(mark) = self.mark.get() else {
            return;
        };
        // Until the other half has changed nothing in between.
        let mut outcome = None;
        while outcome != Some(self.outcome()) {
            let now = self.outcome();
            mark.set_idle(now == ConnectionOutcome::Idle);
            outcome = Some(now);
        }
    }

    /// Call before the socket is closed, or leaves the connection.
    pub(super) fn forget_socket(&self) {
        if let Some(mark) = self.mark.get() {
            self.counters.marks.forget_socket(mark);
        }
    }

    /// Call before the connection is closed. Where it is idle in a drain or reading has timed out,
    /// reading is shut down, so that what the peer sends from now on fails there; and unread input,
    /// which only the kernel knows of, makes it count as aborted.
    pub(super) fn check_unread(&self, socket: BorrowedFd<'_>, is_read_over: bool) {
        let is_idle = self.outcome() == ConnectionOutcome::Idle;
        let is_drained = is_idle && self.counters.drain.is_open();
        if is_read_over || is_drained {
            let _ = rustix::net::shutdown(socket, Shutdown::Read);
            if sys::message::peek::has_unread(socket) {
                self.mark_aborted();
            }
        }
    }

    /// Counts the connection for its user; `false` if that has `most` already.
    pub(super) fn within(&mut self, uid: Option<u32>, most: usize) -> bool {
        let mut per_uid = lock(&self.counters.per_uid);
        let count = per_uid.get(&uid).copied().unwrap_or_default();
        if count >= most {
            return false;
        }
        per_uid.insert(uid, count + 1);
        self.user = Some(uid);
        true
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(uid) = self.user
            && let Entry::Occupied(mut count) = lock(&self.counters.per_uid).entry(uid)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if let Some(mark) = self.mark.get() {
            self.counters.marks.remove(mark);
        }
        let counters = &self.counters;
        let counter = if std::thread::panicking() {
            log::panicked();
            &counters.aborted
        } else {
            match self.outcome() {
                ConnectionOutcome::Refused => &counters.refused,
                ConnectionOutcome::Aborted => &counters.aborted,
                ConnectionOutcome::Busy if counters.abort.is_open() => &counters.aborted,
                _ if counters.drain.is_open() => &counters.drained,
                _ => &counters.served,
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.counters.open.fetch_sub(1, Ordering::AcqRel);
        self.counters.closed.notify_one();
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // It is whole at any point where a panic could be.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
