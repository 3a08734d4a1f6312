//! How many more file descriptors may be opened (`RLIMIT_NOFILE`).
//!
//! Where those of a message find no room, recvmsg(2) closes them at once, in the thread that receives,
//! and that can take as long as the sender wishes. So the room is looked at before.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::stat;
use rustix::process::{Resource, getrlimit};

use crate::ancillary::MAX_DESCRIPTORS;

/// Left to whoever opens something between the look and the call.
const OTHERS: usize = 32;
/// With as many, any message can be taken.
const ENOUGH: usize = MAX_DESCRIPTORS + OTHERS;
/// So many may be opened by a handler for each message.
const BY_HANDLER: usize = 4;
/// What was found is trusted for so long, less what has been counted since: a look is a system call.
const TRUSTED: Duration = Duration::from_millis(50);
/// With fewer open files allowed there may never be room for a whole message.
const FEWEST: usize = ENOUGH + 100;
/// As many are opened, at most, to see whether they can be.
const TRIED: usize = 1024;

static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// When that was looked at, in milliseconds since the first time.
static LOOKED: AtomicU64 = AtomicU64::new(0);

/// How many descriptors the next message to `fd` may bring; `None`: as many as the kernel takes. Each
/// has room twice: they are looked at first.
pub(crate) fn most(fd: BorrowedFd<'_>) -> Option<usize> {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = START.get_or_init(Instant::now).elapsed().as_millis() as u64;
    let known = KNOWN.load(Ordering::Relaxed);
    let age = Duration::from_millis(now.saturating_sub(LOOKED.load(Ordering::Relaxed)));
    if known > ENOUGH && age < TRUSTED {
        spend(BY_HANDLER);
        return None;
    }
    let free = look(fd);
    KNOWN.store(free, Ordering::Relaxed);
    LOOKED.store(now, Ordering::Relaxed);
    // Of few, half are left to others.
    (free < ENOUGH).then(|| (free - OTHERS.min(free / 2)) / 2)
}

/// So many have been opened.
pub(crate) fn spend(count: usize) {
    let less = |known: usize| Some(known.saturating_sub(count));
    let _ = KNOWN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
}

/// Whether there can be room for any message.
pub(crate) fn is_possible() -> bool {
    open_files() >= FEWEST
}

/// `RLIMIT_NOFILE`
pub(crate) fn open_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX)
}

fn look(fd: BorrowedFd<'_>) -> usize {
    match stat("/proc/thread-self/fd") {
        // Their number, since Linux 6.2.
        Ok(found) if found.st_size > 0 => open_files().saturating_sub(found.st_size as usize),
        _ => tried(fd),
    }
}

fn tried(fd: BorrowedFd<'_>) -> usize {
    let more = || rustix::io::fcntl_dupfd_cloexec(fd, 0).ok();
    let opened: Vec<OwnedFd> = std::iter::from_fn(more).take(TRIED).collect();
    opened.len()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// Others open and close some meanwhile.
    #[test]
    fn both_ways_to_look_find_about_the_same() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let (looked, tried) = (look(file.as_fd()), tried(file.as_fd()));
        assert!(looked.min(TRIED).abs_diff(tried) < 100, "{looked} {tried}");
    }
}
