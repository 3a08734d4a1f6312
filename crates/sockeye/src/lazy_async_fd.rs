//! [`LazyAsyncFd`]: a non-blocking fd that is registered with epoll(7) only once it has to wait.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::task::{coop, yield_now};

use crate::passing::{BackgroundCloseFd, Passing};

/// With `EPOLLPRI`, which reports out-of-band data.
const READING: Interest = Interest::READABLE.add(Interest::PRIORITY);

/// Registered lazily: after two `EAGAIN`s with a yield in between. Many a short connection never
/// waits, and so never costs an epoll_ctl(2).
///
/// Registered for reading alone until a send would block: otherwise each read of the peer, which
/// makes room in the socket buffer, would wake this side. Only an owner can register anew; see
/// [`Self::share`].
#[derive(Debug)]
pub struct LazyAsyncFd {
    // Dropped in this order: the fd is deregistered before it is closed.
    registration: OnceLock<Result<AsyncFd<RawFd>, Errno>>,
    /// Who waits on a registration that may be replaced.
    reader: Option<Waker>,
    /// Whether the last attempt got `EAGAIN` and has yielded since. Shared by both directions, so one
    /// of them may register without a second attempt.
    has_yielded: AtomicBool,
    /// Whether the next attempt is made without readiness.
    looks_again: AtomicBool,
    /// Whether [`Self::poll_hang_up`] has cleared that there is room to send: epoll does not report it
    /// again before a send got `EAGAIN`.
    may_have_room: AtomicBool,
    /// Whether it is, or will be, registered for writing too.
    is_shared: bool,
    fd: BackgroundCloseFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// The result of one attempt, and whether it has emptied the queue, so that another one would get
/// `EAGAIN`.
pub struct ReadOutcome<T> {
    pub(crate) result: T,
    pub(crate) is_all: bool,
}

impl<T> ReadOutcome<T> {
    /// More may be queued.
    pub(crate) fn some(result: T) -> Self {
        Self {
            result,
            is_all: false,
        }
    }
}

impl LazyAsyncFd {
    /// Takes a non-blocking fd.
    pub(crate) fn new(fd: OwnedFd, passing: Passing) -> Self {
        Self {
            registration: OnceLock::new(),
            reader: None,
            has_yielded: AtomicBool::new(false),
            looks_again: AtomicBool::new(false),
            may_have_room: AtomicBool::new(false),
            is_shared: false,
            fd: BackgroundCloseFd::new(fd, passing),
        }
    }

    /// As [`Self::new`], for the fd of a client, registered at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub(crate) fn registered(fd: OwnedFd, is_shared: bool) -> io::Result<Self> {
        let mut socket = Self::new(fd, Passing::Unchecked);
        socket.is_shared = is_shared;
        socket.registration = OnceLock::from(Ok(socket.register()?));
        Ok(socket)
    }

    /// Has the next [`Self::poll_io`] ask the kernel without readiness. A read ends before out-of-band
    /// data, and edge-triggered epoll does not report what is left behind it.
    pub(crate) fn look_again(&self) {
        self.looks_again.store(true, Ordering::Relaxed);
    }

    pub(crate) fn passing(&self) -> Passing {
        self.fd.passing
    }

    pub(crate) fn set_passing(&mut self, passing: Passing) {
        self.fd.passing = passing;
    }

    /// Waiting to write with a registration for reading alone would never end.
    fn check_shared(&self, is_write: bool) {
        debug_assert!(!is_write || self.is_shared, "share() before");
    }

    fn registration(&self) -> io::Result<&AsyncFd<RawFd>> {
        let registration = self.registration.get_or_init(|| {
            let registered = self.register();
            registered.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        });
        registration.as_ref().map_err(|&errno| errno.into())
    }

    // The constructor is deprecated because it trusts its caller to keep the fd open; ours is closed
    // after the registration is dropped.
    #[allow(deprecated)]
    #[track_caller]
    fn register(&self) -> io::Result<AsyncFd<RawFd>> {
        let interest = if self.is_shared {
            READING.add(Interest::WRITABLE)
        } else {
            READING
        };
        AsyncFd::with_interest(self.fd.as_fd().as_raw_fd(), interest)
    }

    /// Lets [`Self::poll_io`] write and [`Self::io`] be called from now on: registered for both
    /// directions.
    pub(crate) fn share(&mut self) {
        if !self.is_shared {
            self.is_shared = true;
            // Epoll knows an fd once, so the old registration goes first.
            self.registration.take();
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    /// [`Self::poll_io`] of an owner, to read.
    pub(crate) fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        let received = self.poll_io(cx, Direction::Read, attempt);
        let may_be_replaced = !self.is_shared && self.registration.get().is_some();
        if received.is_pending() && may_be_replaced {
            match &mut self.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                None => self.reader = Some(cx.waker().clone()),
            }
        }
        received
    }

    /// [`Self::poll_io`] of an owner, to write.
    pub(crate) fn poll_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if !self.is_shared {
            let budget = ready!(coop::poll_proceed(cx));
            match attempt(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.share();
                    self.registration()?;
                }
                done => {
                    self.has_yielded.store(false, Ordering::Relaxed);
                    budget.made_progress();
                    return Poll::Ready(done);
                }
            }
        }
        self.poll_io(cx, Direction::Write, |fd| {
            attempt(fd).map(ReadOutcome::some)
        })
    }

    /// Calls `attempt` until it does not fail with `EAGAIN`, and sleeps in between. One task for each
    /// direction can wait like this.
    pub(crate) fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.check_shared(direction == Direction::Write);
        let is_known = self.registration.get().is_some();
        let may_have_room =
            direction == Direction::Write && self.may_have_room.load(Ordering::Relaxed);
        if !is_known || may_have_room || self.looks_again.load(Ordering::Relaxed) {
            let budget = ready!(coop::poll_proceed(cx));
            self.looks_again.store(false, Ordering::Relaxed);
            match attempt(self.fd.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if may_have_room {
                        self.may_have_room.store(false, Ordering::Relaxed);
                    }
                    // A client that has just connected is about to send, and one that has its answer
                    // is about to close: yield once before paying for the registration.
                    if !is_known && !self.has_yielded.swap(true, Ordering::Relaxed) {
                        // Polled again after every other task that is ready.
                        let _ = pin!(yield_now()).poll(cx);
                        return Poll::Pending;
                    }
                }
                done => {
                    self.has_yielded.store(false, Ordering::Relaxed);
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    if direction == Direction::Read {
                        clear_urgent(registration);
                    }
                }
                Ok(ReadOutcome { result, is_all }) => {
                    // What comes from now on is a new edge; what is behind out-of-band data, before
                    // which a read ends, is none.
                    if is_all && !is_ready(registration, Interest::PRIORITY) {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(result));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// As [`Self::poll_io`], for any number of tasks, and without the yield before the registration.
    pub(crate) async fn io<T>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_shared(interest.is_writable());
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

/// Readiness, for callers that make their own attempts.
impl LazyAsyncFd {
    /// Waits until an attempt may succeed. One task for each direction can wait like this.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.check_shared(direction == Direction::Write);
        let registration = self.registration()?;
        let ready = match direction {
            Direction::Read => registration.poll_read_ready(cx),
            Direction::Write => registration.poll_write_ready(cx),
        };
        ready.map_ok(|_still_ready| ())
    }

    /// As [`Self::poll_ready`], for any number of tasks.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.check_shared(interest.is_writable());
        let ready = self.registration()?.ready(interest).await;
        ready.map(|still_ready| still_ready.ready())
    }

    /// Registers it now. Unregistered, nothing reports out-of-band data.
    pub(crate) fn register_now(&self) -> io::Result<()> {
        self.registration().map(drop)
    }

    /// Whether epoll may have reported out-of-band data: EOF counts too.
    pub(crate) fn may_be_urgent(&self) -> bool {
        let registration = self.registration.get();
        matches!(registration, Some(Ok(registration)) if is_ready(registration, Interest::PRIORITY))
    }

    /// Has the next write attempted without readiness: epoll reports neither that the reader has shut
    /// down its side, nor what [`Self::poll_hang_up`] has cleared.
    pub(crate) fn attempt_write(&self) {
        self.may_have_room.store(true, Ordering::Relaxed);
    }

    /// Waits until the connection is closed in both directions, or has failed (`EPOLLHUP`). Not beside
    /// a wait to write.
    pub(crate) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let registration = self.registration()?;
        loop {
            let mut ready = ready!(registration.poll_write_ready(cx))?;
            if ready.ready().is_write_closed() {
                return Poll::Ready(Ok(()));
            }
            ready.clear_ready();
            // A wait to write may have begun just before this report.
            if !self.may_have_room.swap(true, Ordering::Relaxed) {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// As [`Self::poll_hang_up`], where it is registered for reading alone. After a half-close of the peer
    /// it waits for ever. Not beside a wait to read.
    #[cfg(feature = "http")]
    pub(crate) fn poll_peer_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let registration = self.registration()?;
        loop {
            let mut ready = ready!(registration.poll_read_ready(cx))?;
            if crate::socket::is_hung_up(self.fd.as_fd())? {
                return Poll::Ready(Ok(()));
            }
            if ready.ready().is_read_closed() {
                return Poll::Pending;
            }
            self.look_again();
            ready.clear_ready();
        }
    }

    /// Makes one attempt. After `EAGAIN` the next one is made once there is readiness again.
    pub(crate) fn try_io<T>(
        &self,
        interest: Interest,
        attempt: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.registration.get() {
            Some(Ok(registration)) if is_ready(registration, interest) => {
                registration.try_io(interest, |_| attempt(self.fd.as_fd()))
            }
            // The runtime may not have heard of its readiness yet.
            _ => attempt(self.fd.as_fd()),
        }
    }
}

/// What epoll(7) has reported and no attempt has refuted since.
fn is_ready(registration: &AsyncFd<RawFd>, interest: Interest) -> bool {
    registration.try_io(interest, |_| Ok(())).is_ok()
}

fn clear_urgent(registration: &AsyncFd<RawFd>) {
    let is_empty = |_: &RawFd| Err::<(), _>(io::ErrorKind::WouldBlock.into());
    let _ = registration.try_io(Interest::PRIORITY, is_empty);
}

// As tokio's sockets: a panic leaves none of its state half-changed.
impl UnwindSafe for LazyAsyncFd {}
impl RefUnwindSafe for LazyAsyncFd {}

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
