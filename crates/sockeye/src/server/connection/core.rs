//! [`ConnectionCore`]: what the halves of a connection share.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use crate::lazy_async_fd::Direction;
use crate::server::counters::{ConnectionGuard, Counters};
use crate::server::timeouts::{
    Activity, Timeouts, Waiting, enforce_deadlines, enforce_deadlines_of_readiness,
};
use crate::server::{LimitError, handler_scope};

/// A socket with its timeouts and its permit.
#[derive(Debug)]
pub(super) struct ConnectionCore<S: AsFd> {
    // Dropped in this order: the fd is closed before its permit is free.
    /// `Some` until it is dropped or taken apart, as `guard` is.
    socket: Option<S>,
    activity: Option<Box<Activity>>,
    guard: Option<ConnectionGuard>,
}

const TAKEN: &str = "only a drop and into_parts take it";

impl<S: AsFd> ConnectionCore<S> {
    pub(super) fn new(socket: S, timeouts: Timeouts, guard: ConnectionGuard) -> Self {
        Self {
            socket: Some(socket),
            activity: Activity::new(timeouts),
            guard: Some(guard),
        }
    }

    pub(super) fn into_parts(mut self) -> (S, ConnectionGuard) {
        match (self.socket.take(), self.guard.take()) {
            (Some(socket), Some(guard)) => {
                guard.forget_socket();
                (socket, guard)
            }
            _ => unreachable!("{TAKEN}"),
        }
    }

    pub(super) fn socket(&self) -> &S {
        match &self.socket {
            Some(socket) => socket,
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(super) fn socket_mut(&mut self) -> &mut S {
        match &mut self.socket {
            Some(socket) => socket,
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(super) fn activity(&self) -> Option<&Activity> {
        self.activity.as_deref()
    }

    pub(super) fn guard(&self) -> &ConnectionGuard {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(super) fn guard_mut(&mut self) -> &mut ConnectionGuard {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("{TAKEN}"),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        self.guard().counters()
    }

    /// Call before each attempt to read or write. After an abort these fail: the connection has
    /// outlived its handler.
    pub(super) fn check_abort(&self) -> io::Result<()> {
        if self.counters().dropped.is_open() {
            Err(LimitError::Aborted.into())
        } else {
            Ok(())
        }
    }

    /// Call after each attempt to read or write: a wait ends at a deadline, and at an abort; and while
    /// a write waits, the connection is busy.
    pub(super) fn enforce<T>(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        direction: Direction,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.note_sending(direction, &result);
        let (activity, socket) = (self.activity(), self.as_fd());
        let result = enforce_deadlines(activity, waiting, cx, direction, socket, result);
        self.or_aborted(waiting, cx, result)
    }

    /// As [`Self::enforce`], for a wait until an attempt may succeed.
    pub(super) fn enforce_on_readiness(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        direction: Direction,
        ready: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.note_sending(direction, &ready);
        let (activity, socket) = (self.activity(), self.as_fd());
        let ready = enforce_deadlines_of_readiness(activity, waiting, cx, direction, socket, ready);
        self.or_aborted(waiting, cx, ready)
    }

    /// Marks it as idle or busy, so that a report knows of it while it is open.
    pub(super) fn mark_idle(&self, idle: bool) {
        self.guard().note_shared_idle(idle);
        self.report_while_open();
    }

    /// It is idle from the beginning. Outside of a handler a report has to know of it.
    pub(super) fn begin_idle(&self) {
        self.guard().note_shared_idle(true);
        if !handler_scope::is_within(&self.counters().dropped) {
            self.report_while_open();
        }
    }

    fn report_while_open(&self) {
        self.guard().report_while_open(self.as_fd());
    }

    fn note_sending<T>(&self, direction: Direction, attempt: &Poll<T>) {
        if direction == Direction::Write {
            self.guard().note_sending(attempt.is_pending());
        }
    }

    /// Has a wait end at an abort.
    pub(super) fn or_aborted<T>(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let abort = &self.counters().dropped;
        // A handler is dropped as a whole, and needs no waker for each of its waits.
        if result.is_ready() || handler_scope::is_within(abort) {
            return result;
        }
        self.report_while_open();
        if waiting.get_or_insert_default().poll_aborted(cx, abort) {
            return Poll::Ready(Err(LimitError::Aborted.into()));
        }
        result
    }
}

impl<S: AsFd> AsFd for ConnectionCore<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl<S: AsFd> Drop for ConnectionCore<S> {
    fn drop(&mut self) {
        if let (Some(socket), Some(guard)) = (&self.socket, &self.guard) {
            let is_read_over = self.activity().is_some_and(Activity::is_read_over);
            guard.check_unread(socket.as_fd(), is_read_over);
            guard.forget_socket();
        }
    }
}
