//! [`Marks`]: the connections that may still be held when `run` returns, and which of them are idle.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::net::Shutdown;

use super::lock;
use crate::sys;

/// Those that a user has marked, or that are used outside of a handler. It is locked at the first mark
/// of a connection and when that closes.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<HashMap<usize, Arc<Mark>>>);

/// What a report knows of one open connection.
#[derive(Debug)]
pub(super) struct Mark {
    is_idle: AtomicBool,
    /// Its number, or -1 once it is closed or taken out.
    socket: AtomicI32,
}

impl Mark {
    pub(super) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::SeqCst);
    }
}

impl Marks {
    pub(super) fn add(&self, socket: BorrowedFd<'_>) -> Arc<Mark> {
        let mark = Arc::new(Mark {
            is_idle: AtomicBool::new(false),
            socket: AtomicI32::new(socket.as_raw_fd()),
        });
        lock(&self.0).insert(key(&mark), Arc::clone(&mark));
        mark
    }

    pub(super) fn remove(&self, mark: &Arc<Mark>) {
        lock(&self.0).remove(&key(mark));
    }

    /// Call before the socket is closed.
    pub(super) fn forget_socket(&self, mark: &Mark) {
        // Not while the kernel is asked about it.
        let _marks = lock(&self.0);
        mark.socket.store(-1, Ordering::Relaxed);
    }

    /// How many are idle and have no unread input. Where it `ends`, their peers can send no more.
    pub(super) fn idle(&self, ends: bool) -> usize {
        let marks = lock(&self.0);
        let is_idle = |mark: &&Arc<Mark>| mark.is_idle.load(Ordering::SeqCst);
        let is_read = |mark: &&Arc<Mark>| {
            let socket = mark.socket.load(Ordering::Relaxed);
            // An error leaves it unknown, so it is not counted.
            socket < 0
                || sys::fd::duplicate(socket).is_ok_and(|socket| {
                    if ends {
                        let _ = rustix::net::shutdown(&socket, Shutdown::Read);
                    }
                    !sys::message::peek::has_unread(socket.as_fd())
                })
        };
        marks.values().filter(is_idle).filter(is_read).count()
    }
}

fn key(mark: &Arc<Mark>) -> usize {
    Arc::as_ptr(mark).addr()
}
