//! [`ConnectionDrain`]: graceful shutdown of one connection, between two messages.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::time::Sleep;

use super::latch::LatchWaiter;
use crate::lazy_async_fd::LazyAsyncFd;
use crate::socket;

/// How long a connection that has not sent anything yet may still do so in a drain.
const SILENT: Duration = Duration::from_secs(1);

pub(crate) struct ConnectionDrain {
    progress: ReadProgress,
    /// `None` for a client's stream.
    drain: Option<LatchWaiter>,
    /// Runs while a silent connection may still send in a drain.
    grace: Option<Pin<Box<Sleep>>>,
    /// Whether the kernel was asked without readiness since the last input.
    has_looked_again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadProgress {
    /// No input yet.
    Silent,
    Open,
    /// Shut down for reading: the peer can send no more, and what it sent before is still read.
    Closing,
    /// Read to EOF.
    Ended,
}

impl ConnectionDrain {
    pub(crate) fn new(drain: Option<LatchWaiter>) -> Self {
        Self {
            progress: ReadProgress::Silent,
            drain,
            grace: None,
            has_looked_again: false,
        }
    }

    pub(super) fn progress(&self) -> ReadProgress {
        self.progress
    }

    /// Whether reading was shut down here, so that EOF is of our own making.
    #[cfg(feature = "http")]
    pub(crate) fn is_closing(&self) -> bool {
        self.progress == ReadProgress::Closing
    }

    /// There was input.
    pub(crate) fn came(&mut self) {
        self.has_looked_again = false;
        if self.progress == ReadProgress::Silent {
            self.progress = ReadProgress::Open;
        }
    }

    pub(crate) fn ended(&mut self) {
        self.progress = ReadProgress::Ended;
    }

    /// While nothing can be read and nothing is under way: `Ready` once a drain calls for another
    /// read: the kernel has input that the runtime has not seen, or reading was shut down and what
    /// came until then is left to read.
    pub(crate) fn poll_read_again(
        &mut self,
        cx: &mut Context<'_>,
        socket: &LazyAsyncFd,
    ) -> Poll<io::Result<()>> {
        if self.progress == ReadProgress::Closing || !self.poll_drains(cx) {
            return Poll::Pending;
        }
        if socket::is_readable(socket.as_fd())? {
            if std::mem::replace(&mut self.has_looked_again, true) {
                // Readable, but not by recv(2): a lone byte of out-of-band data.
                return Poll::Pending;
            }
            socket.look_again();
            return Poll::Ready(Ok(()));
        }
        if self.progress == ReadProgress::Silent {
            let grace = self
                .grace
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENT)));
            ready!(grace.as_mut().poll(cx));
        }
        Poll::Ready(self.close_to_peer(socket.as_fd()))
    }

    /// Whether a drain has begun; if not, the task is woken then.
    pub(crate) fn poll_drains(&mut self, cx: &mut Context<'_>) -> bool {
        self.drain.as_mut().is_some_and(|drain| drain.poll_open(cx))
    }

    /// Shuts down reading, so that what the peer sends from now on fails there with `EPIPE` instead
    /// of being lost here. What it has sent until now can still be read.
    pub(super) fn close_to_peer(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.progress = ReadProgress::Closing;
        match rustix::net::shutdown(socket, Shutdown::Read) {
            // The peer has closed.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
