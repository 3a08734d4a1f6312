//! [`ConnectionCore`]: what the halves of a connection share.

use std::os::fd::{AsFd, BorrowedFd};

use crate::server::counters::{ConnectionGuard, Counters};
use crate::server::timeouts::{Activity, Timeouts};

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
            (Some(socket), Some(guard)) => (socket, guard),
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
        }
    }
}
