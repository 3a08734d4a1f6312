//! [`LazyAsyncFd`]: a socket that does not block, and the runtime that wakes who waits for it.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{coop, yield_now};

use crate::passing::{Guarded, Passing};

/// It is registered with the runtime when something has to be waited for, not before: what comes
/// with a connection, and many a whole conversation, needs no waiting.
#[derive(Debug)]
pub(crate) struct LazyAsyncFd {
    // Dropped in this order: the runtime lets go of the descriptor before it is closed.
    registration: OnceLock<Result<AsyncFd<RawFd>, Errno>>,
    /// Whether the last attempt was in vain, and others have had their turn since. Of both
    /// directions: that costs one of them its second look.
    has_given_way: AtomicBool,
    /// Whether the next attempt is made whatever the runtime knows.
    looks_again: AtomicBool,
    fd: Guarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// What an attempt has brought, and whether it has taken all that there was, so that another one
/// would be in vain.
pub(crate) struct ReadOutcome<T> {
    pub(crate) result: T,
    pub(crate) is_all: bool,
}

impl<T> ReadOutcome<T> {
    /// There may be more.
    pub(crate) fn some(result: T) -> Self {
        Self {
            result,
            is_all: false,
        }
    }
}

impl LazyAsyncFd {
    /// Of a descriptor that does not block.
    pub(crate) fn new(fd: OwnedFd, passing: Passing) -> Self {
        Self {
            registration: OnceLock::new(),
            has_given_way: AtomicBool::new(false),
            looks_again: AtomicBool::new(false),
            fd: Guarded::new(fd, passing),
        }
    }

    /// As [`Self::new`] of a client's, but registered at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub(crate) fn registered(fd: OwnedFd) -> io::Result<Self> {
        let socket = Self::new(fd, Passing::Plain);
        socket.registration()?;
        Ok(socket)
    }

    /// Has the next [`Self::poll_io`] ask the kernel, for it knows of something that the runtime has
    /// forgotten: a read also ends before out-of-band data, and nothing tells of that.
    pub(crate) fn look_again(&self) {
        self.looks_again.store(true, Ordering::Relaxed);
    }

    pub(crate) fn passing(&self) -> Passing {
        self.fd.passing
    }

    pub(crate) fn set_passing(&mut self, passing: Passing) {
        self.fd.passing = passing;
    }

    fn registration(&self) -> io::Result<&AsyncFd<RawFd>> {
        let registration = self.registration.get_or_init(|| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            // The constructor is deprecated because it trusts its caller that the descriptor stays
            // open; it is ours, and closed after this.
            #[allow(deprecated)]
            AsyncFd::with_interest(self.fd.as_fd().as_raw_fd(), interest)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        });
        registration.as_ref().map_err(|&errno| errno.into())
    }

    /// Attempts until it succeeds or fails, and sleeps where it would block. One task in each
    /// direction can wait like this.
    pub(crate) fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        let is_known = self.registration.get().is_some();
        if !is_known || self.looks_again.load(Ordering::Relaxed) {
            let budget = ready!(coop::poll_proceed(cx));
            self.looks_again.store(false, Ordering::Relaxed);
            match attempt(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A client that has just connected is about to send, and one that has its answer
                    // to close.
                    if !is_known && !self.has_given_way.swap(true, Ordering::Relaxed) {
                        // Comes back after the runtime has looked after everybody else.
                        let _ = pin!(yield_now()).poll(cx);
                        return Poll::Pending;
                    }
                }
                done => {
                    self.has_given_way.store(false, Ordering::Relaxed);
                    budget.made_progress();
                    return Poll::Ready(done.map(|attempt| attempt.result));
                }
            }
        }
        let registration = self.registration()?;
        loop {
            let mut ready = match direction {
                Direction::Read => ready!(registration.poll_read_ready(cx))?,
                Direction::Write => ready!(registration.poll_write_ready(cx))?,
            };
            match attempt(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Ok(ReadOutcome { result, is_all }) => {
                    // What comes after that wakes us.
                    if is_all {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(result));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// As [`Self::poll_io`], for any number of tasks; each would have to give way on its own, so none
    /// does.
    pub(crate) async fn io<T>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.registration.get().is_none() {
            coop::consume_budget().await;
            match attempt(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        let registration = self.registration()?;
        registration
            .async_io(interest, |_| attempt(self.fd.as_fd()))
            .await
    }
}

impl AsFd for LazyAsyncFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<LazyAsyncFd> for OwnedFd {
    fn from(socket: LazyAsyncFd) -> Self {
        drop(socket.registration);
        socket.fd.into()
    }
}
