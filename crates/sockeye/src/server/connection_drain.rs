//! [`ConnectionDrain`]: when a connection between two messages ends in a drain.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::time::Sleep;

use super::latch::LatchWaiter;
use crate::socket;

/// How long a connection on which nothing has come yet may still send during a drain.
const SILENT: Duration = Duration::from_secs(1);

pub(super) struct ConnectionDrain {
    progress: Progress,
    drain: LatchWaiter,
    /// The time that a silent connection has left in a drain.
    grace: Option<Pin<Box<Sleep>>>,
    /// Whether the kernel was asked past the runtime since something came.
    has_looked_again: bool,
}

/// What a drain asks for.
pub(super) enum Due {
    /// To close the connection to the peer.
    Close,
    /// To read what is there, whatever the runtime knows.
    LookAgain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing has come yet.
    Silent,
    Open,
    /// The peer was told that nothing more is taken; what it sent before is still read.
    Closing,
    /// Read to the end.
    Ended,
}

impl ConnectionDrain {
    pub(super) fn new(drain: LatchWaiter) -> Self {
        Self {
            progress: Progress::Silent,
            drain,
            grace: None,
            has_looked_again: false,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Something has come.
    pub(super) fn came(&mut self) {
        self.has_looked_again = false;
        if self.progress == Progress::Silent {
            self.progress = Progress::Open;
        }
    }

    pub(super) fn ended(&mut self) {
        self.progress = Progress::Ended;
    }

    /// Ready when a drain asks for something of a connection on which nothing is under way.
    pub(super) fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        socket: BorrowedFd<'_>,
    ) -> Poll<io::Result<Due>> {
        if self.progress == Progress::Closing || !self.drain.poll_open(cx) {
            return Poll::Pending;
        }
        if socket::is_readable(socket)? {
            return match std::mem::replace(&mut self.has_looked_again, true) {
                false => Poll::Ready(Ok(Due::LookAgain)),
                // It cannot be read, as a lone byte of out-of-band data.
                true => Poll::Pending,
            };
        }
        if self.progress == Progress::Silent {
            let grace = self
                .grace
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENT)));
            ready!(grace.as_mut().poll(cx));
        }
        Poll::Ready(Ok(Due::Close))
    }

    /// Ends the peer's sending, so that what it sends from now on fails there instead of being
    /// lost here. What it has sent until now can still be read.
    pub(super) fn close_to_peer(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.progress = Progress::Closing;
        match rustix::net::shutdown(socket, Shutdown::Read) {
            // The peer has closed.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
