//! Proves by timestamps that two socket files differ, and are not two views of one file.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};

/// Files that were made within this time of each other may be one file: not every file system, nor
/// every FUSE program, keeps nanoseconds.
const SAME_TIME_NANOSECONDS: u128 = 1_000_000;
/// The same for those that keep whole seconds, or two.
const SAME_SECONDS: u64 = 2;
/// How many times two files are looked at that somebody changes at the same time.
const LOOKS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    seconds: i64,
    nanoseconds: u32,
}

impl Time {
    /// As one file may show it in two places, where one of them drops something.
    fn may_be(self, other: Self) -> bool {
        if self.nanoseconds == 0 || other.nanoseconds == 0 {
            let is_told = self.seconds != 0 && other.seconds != 0;
            return !is_told || self.seconds.abs_diff(other.seconds) <= SAME_SECONDS;
        }
        let all =
            |time: Self| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
        all(self).abs_diff(all(other)) < SAME_TIME_NANOSECONDS
    }
}

/// The times of a file. Who may write a file may set the first, and changes the second with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    modified: Time,
    changed: Time,
}

impl Times {
    /// Asks the file system, not the kernel's cache, which FUSE allows for a second. `None` also for a
    /// file that was removed and was only in the cache.
    fn of(file: impl AsFd) -> Option<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let wanted = StatxFlags::MTIME | StatxFlags::CTIME | StatxFlags::NLINK;
        let found = statx(file, "", flags, wanted).ok()?;
        let time = |time: rustix::fs::StatxTimestamp| Time {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        (found.stx_nlink > 0).then_some(Self {
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
        })
    }
}

/// Whether two open files are two: their times differ while neither changes.
pub(super) fn prove_two(one: &OwnedFd, other: &OwnedFd) -> bool {
    differ_at_one_time(|| Times::of(one), || Times::of(other))
}

/// One file has one time at a time, but it may be touched between two looks.
fn differ_at_one_time(
    mut one: impl FnMut() -> Option<Times>,
    mut other: impl FnMut() -> Option<Times>,
) -> bool {
    let mut look = || {
        let first = (one()?, other()?);
        Some((first == (one()?, other()?)).then_some(first))
    };
    for _ in 0..LOOKS {
        match look() {
            Some(Some((one, other))) => return !one.modified.may_be(other.modified),
            Some(None) => {}
            None => return false,
        }
    }
    false
}

/// Opens a file to look at it only.
pub(super) fn open(path: &Path) -> Option<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> Time {
        Time {
            seconds,
            nanoseconds,
        }
    }

    #[test]
    fn times_of_one_file_differ_by_what_a_file_system_drops() {
        let exact = at(1_700_000_000, 123_456_789);
        for (seen, is_same) in [
            (exact, true),
            (at(1_700_000_000, 123_456_000), true),
            (at(1_700_000_000, 0), true),
            (at(1_699_999_998, 0), true),
            (at(1_699_999_000, 0), false),
            (at(0, 0), true),
            (at(1_700_000_000, 133_456_789), false),
            (at(1_700_000_001, 123_456_789), false),
        ] {
            assert_eq!(exact.may_be(seen), is_same, "{seen:?}");
            assert_eq!(seen.may_be(exact), is_same, "{seen:?}");
        }
    }

    #[test]
    fn times_that_change_between_the_looks_prove_nothing() {
        let now = |seconds| {
            Some(Times {
                modified: at(seconds, 1),
                changed: at(seconds, 1),
            })
        };
        assert!(differ_at_one_time(|| now(1), || now(2)));
        assert!(!differ_at_one_time(|| now(1), || now(1)));
        assert!(!differ_at_one_time(|| now(1), || None));
        let touched = std::cell::Cell::new(0);
        let touch = || {
            touched.set(touched.get() + 1);
            now(touched.get())
        };
        // One file that is touched before each look.
        assert!(!differ_at_one_time(touch, touch));
        assert!(!differ_at_one_time(|| now(1), touch));
        // Set back each time: only the change time (ctime) shows it.
        let set_back = || {
            Some(Times {
                modified: at(1, 1),
                ..touch()?
            })
        };
        assert!(!differ_at_one_time(set_back, || now(1000)));
        // Once that has ended the two can be told apart.
        touched.set(0);
        let a_few_times = || match touched.get() {
            5.. => now(5),
            _ => touch(),
        };
        assert!(differ_at_one_time(a_few_times, || now(1000)));
    }
}
