//! [`OlderSockets`]: former sockets of a listener, whose file somebody has removed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use tokio::io::unix::AsyncFd;

use super::{accept_now, poll_accept};
use crate::socket;

/// How many are kept, beside those with a backlog.
const MOST: usize = 4;

/// Sockets that have lost their file, and may still be reached by another name. Oldest first.
#[derive(Default)]
pub(super) struct OlderSockets {
    sockets: Vec<AsyncFd<OwnedFd>>,
    /// Connections that arrived at one of them while it was closed.
    latecomers: Mutex<Vec<OwnedFd>>,
}

impl OlderSockets {
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    pub(super) fn sockets(&self) -> impl Iterator<Item = &AsyncFd<OwnedFd>> {
        self.sockets.iter()
    }

    /// Adds a socket; the oldest one without a backlog is closed for it.
    pub(super) fn push(&mut self, io: AsyncFd<OwnedFd>) {
        self.sockets.push(io);
        if self.sockets.len() <= MOST {
            return;
        }
        let is_idle = |io: &AsyncFd<OwnedFd>| !socket::is_readable(io.as_fd()).unwrap_or(true);
        if let Some(index) = self.sockets.iter().position(is_idle) {
            let io = self.sockets.remove(index);
            // New connections are refused from here on, and none is lost.
            let _ = shutdown(&io, Shutdown::Read);
            let latecomers = std::iter::from_fn(|| accept_now(&io).ok());
            self.lock().extend(latecomers);
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        let waits = |io: &AsyncFd<OwnedFd>| socket::is_readable(io.as_fd()).unwrap_or(false);
        !self.lock().is_empty() || self.sockets.iter().any(waits)
    }

    /// Accepts without waiting.
    pub(super) fn accept_now(&self) -> Result<OwnedFd, Errno> {
        if let Some(fd) = self.lock().pop() {
            return Ok(fd);
        }
        let accepted = self.sockets.iter().map(accept_now);
        let mut accepted = accepted.filter(|accepted| !matches!(accepted, Err(Errno::AGAIN)));
        accepted.next().unwrap_or(Err(Errno::AGAIN))
    }

    /// Only the last one who asked is woken.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        if let Some(fd) = self.lock().pop() {
            return Poll::Ready(Ok(fd));
        }
        let mut polled = self.sockets.iter().map(|io| poll_accept(io, cx));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<OwnedFd>> {
        self.latecomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
