//! How many more file descriptors may be opened (`RLIMIT_NOFILE`).
//!
//! Fds of a message that do not fit are closed by recvmsg(2) itself, in the receiving thread, and such
//! a close(2) takes as long as the sender wishes. So the headroom is checked first.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::stat;
use rustix::process::{Resource, getrlimit};

use crate::sys::message::MAX_DESCRIPTORS;

/// Reserved for what other threads open between the check and recvmsg(2).
const OTHERS: usize = 32;
/// With this much headroom any message fits.
const ENOUGH: usize = MAX_DESCRIPTORS + OTHERS;
/// Fds that a handler may open for each message.
const BY_HANDLER: usize = 4;
/// How long a measurement is trusted, less what was spent since: measuring is a system call.
const TRUSTED: Duration = Duration::from_millis(50);
/// Below this limit a whole message may never fit.
const FEWEST: usize = ENOUGH + 100;
/// Where the kernel does not tell the number of open fds, at most this many are opened to find out.
const TRIED: usize = 1024;

static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// When it was measured, in milliseconds since the first measurement.
static MEASURED: AtomicU64 = AtomicU64::new(0);

/// How many fds the next message to `fd` may bring; `None` is no bound but the kernel's. Each needs
/// room twice: a message is peeked at first.
pub(crate) fn for_next_message(fd: BorrowedFd<'_>) -> Option<usize> {
    let free = free(fd);
    // Where few are free, half of them are left to others.
    (free < ENOUGH).then(|| (free - OTHERS.min(free / 2)) / 2)
}

/// Whether a message to `fd` may be received, which is not peeked at with its fds: any number of them
/// fits.
pub(crate) fn has_room_for_any_message(fd: BorrowedFd<'_>) -> bool {
    free(fd) >= ENOUGH
}

/// How many fds may still be opened.
fn free(fd: BorrowedFd<'_>) -> usize {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = START.get_or_init(Instant::now).elapsed().as_millis() as u64;
    let known = KNOWN.load(Ordering::Relaxed);
    let age = Duration::from_millis(now.saturating_sub(MEASURED.load(Ordering::Relaxed)));
    if known > ENOUGH && age < TRUSTED {
        spend(BY_HANDLER);
        return known;
    }
    let free = measure(fd);
    KNOWN.store(free, Ordering::Relaxed);
    MEASURED.store(now, Ordering::Relaxed);
    free
}

/// Counts fds that were opened since the last measurement.
pub(crate) fn spend(count: usize) {
    let less = |known: usize| Some(known.saturating_sub(count));
    let _ = KNOWN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

/// Whether the limit is high enough for any message.
pub(crate) fn fits_any_message() -> bool {
    limit() >= FEWEST
}

/// `RLIMIT_NOFILE`
pub(crate) fn limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX)
}

fn measure(fd: BorrowedFd<'_>) -> usize {
    match stat("/proc/thread-self/fd") {
        // Their number, since Linux 6.2.
        Ok(found) if found.st_size > 0 => limit().saturating_sub(found.st_size as usize),
        _ => measure_by_opening(fd),
    }
}

fn measure_by_opening(fd: BorrowedFd<'_>) -> usize {
    let more = || rustix::io::fcntl_dupfd_cloexec(fd, 0).ok();
    let opened: Vec<OwnedFd> = std::iter::from_fn(more).take(TRIED).collect();
    opened.len()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// Other tests open and close fds meanwhile.
    #[test]
    fn both_ways_to_measure_agree() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let (told, tried) = (measure(file.as_fd()), measure_by_opening(file.as_fd()));
        assert!(told.min(TRIED).abs_diff(tried) < 100, "{told} {tried}");
    }
}
