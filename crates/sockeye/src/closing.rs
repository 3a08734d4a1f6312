//! Closes received file descriptors (fds) on a thread of their own.
//!
//! close(2) can block as long as the peer wishes: of a TCP socket with `SO_LINGER` and unsent data, or
//! of a file on a FUSE that does not answer.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
#[cfg(feature = "tokio")]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "tokio")]
use std::time::Duration;

#[cfg(feature = "tokio")]
use tokio::sync::Notify;

/// How many fds may wait to be closed, unless the limit of open files is low.
#[cfg(feature = "tokio")]
const MOST: usize = 1024;
/// As many as come with one message, but never more than half of the limit.
#[cfg(feature = "tokio")]
const LEAST: usize = 253;

/// By then a thread has taken a datagram out of its queue.
#[cfg(feature = "tokio")]
const DEQUEUED: Duration = Duration::from_millis(100);

type Queue = VecDeque<OwnedFd>;

static QUEUE: Mutex<Queue> = Mutex::new(Queue::new());
/// Changes only while the queue is locked.
static HAS_THREAD: AtomicBool = AtomicBool::new(false);
static MORE: Condvar = Condvar::new();
/// With those that are just being closed.
static UNCLOSED: AtomicUsize = AtomicUsize::new(0);
/// Notified when there is room again.
#[cfg(feature = "tokio")]
static ROOM: Notify = Notify::const_new();

/// Closes received fds on a thread of their own, without blocking: close(2) can take as long as the peer
/// wishes (a TCP socket with `SO_LINGER` and unsent data, a file on a FUSE that does not answer), which
/// would stall an event loop.
///
/// Where more wait to be closed than the limit (an eighth of `RLIMIT_NOFILE`, 253 at least and 1024
/// at most, but no more than half of it), the types of this crate receive no more: a
/// [`Server`](crate::server::Server) has the kernel refuse them, and receiving fails with
/// [`RecvError::StillClosing`](super::ancillary::RecvError). A [`Datagram`](crate::Datagram) receives
/// those that are in its queue already, while they fit into `RLIMIT_NOFILE`; then it receives nothing
/// until some are closed.
#[doc(alias = "SO_LINGER")]
pub fn close_in_background(descriptors: impl IntoIterator<Item = OwnedFd>) {
    let mut queue = None;
    for descriptor in descriptors {
        UNCLOSED.fetch_add(1, Ordering::AcqRel);
        queue.get_or_insert_with(lock).push_back(descriptor);
    }
    let Some(queue) = queue else { return };
    start_thread(&queue);
    MORE.notify_one();
}

/// Where no thread can be started now, the next call tries again; so does whoever asks for room, since
/// without room there is no such call.
fn start_thread(_locked: &MutexGuard<'_, Queue>) {
    if !HAS_THREAD.load(Ordering::Relaxed) {
        let thread = std::thread::Builder::new().name("closing".to_owned());
        HAS_THREAD.store(thread.spawn(close_all).is_ok(), Ordering::Relaxed);
    }
}

/// How many fds [`close_in_background`] has still to close.
#[must_use]
pub fn unclosed() -> usize {
    UNCLOSED.load(Ordering::Acquire)
}

fn close_all() {
    let mut queue = lock();
    loop {
        match queue.pop_front() {
            Some(descriptor) => {
                drop(queue);
                drop(descriptor);
                closed_one();
                queue = lock();
            }
            None => queue = MORE.wait(queue).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

fn closed_one() {
    let before = UNCLOSED.fetch_sub(1, Ordering::AcqRel);
    #[cfg(feature = "tokio")]
    if before == limit() {
        ROOM.notify_waiters();
    }
    #[cfg(not(feature = "tokio"))]
    let _ = before;
}

/// Discards the next datagram on a thread of its own, since its fds never find room and the kernel
/// closes them. Returns `false` where no thread can be started.
///
/// It is out of the queue within microseconds, but recvmsg(2) returns after the last close(2).
#[cfg(feature = "tokio")]
pub(crate) fn discard_next(socket: BorrowedFd<'_>) -> bool {
    let Ok(socket) = socket.try_clone_to_owned() else {
        return false;
    };
    let (ended, end) = std::sync::mpsc::channel::<std::convert::Infallible>();
    UNCLOSED.fetch_add(LEAST, Ordering::AcqRel);
    let discard = move || {
        let _ = crate::sys::message::recvmsg_bytes(socket.as_fd(), &mut []);
        drop(ended);
        UNCLOSED.fetch_sub(LEAST, Ordering::AcqRel);
        ROOM.notify_waiters();
    };
    let thread = std::thread::Builder::new().name("closing".to_owned());
    if thread.spawn(discard).is_err() {
        UNCLOSED.fetch_sub(LEAST, Ordering::AcqRel);
        return false;
    }
    let _ = end.recv_timeout(DEQUEUED);
    true
}

fn lock() -> MutexGuard<'static, Queue> {
    // Nothing in there can be half done.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether more fds may be taken.
#[cfg(feature = "tokio")]
pub(crate) fn has_room() -> bool {
    match unclosed() {
        0 => true,
        unclosed => {
            if !HAS_THREAD.load(Ordering::Relaxed) {
                start_thread(&lock());
            }
            unclosed < limit()
        }
    }
}

/// Completes when there is room.
///
/// # Cancel safety
/// Dropping the future loses nothing.
#[cfg(feature = "tokio")]
pub(crate) async fn room() {
    loop {
        let told = ROOM.notified();
        if has_room() {
            return;
        }
        told.await;
    }
}

/// By `RLIMIT_NOFILE` as it was at the first call.
#[cfg(feature = "tokio")]
fn limit() -> usize {
    static OPEN_FILES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let open_files = *OPEN_FILES.get_or_init(crate::fd_headroom::limit);
    (open_files / 8).clamp(LEAST, MOST).min(open_files / 2)
}
