//! User and group ids that the kernel cannot express: in a user namespace it shows whoever has no
//! mapping there as the *overflow id* (65534 as a rule; user_namespaces(7), proc_sys_kernel(5)).
//!
//! That number then stands for any number of users, so it says nothing about who somebody is, even
//! where 65534 itself is mapped: both look alike. Here such an id is `None`, which is equal to no
//! id that was asked for. Where all ids are mapped, as they are outside of any user namespace,
//! 65534 is the user that has this number, usually `nobody`.
//!
//! ```
//! use std::os::unix::fs::MetadataExt;
//!
//! let file = std::fs::metadata("/")?;
//! let is_roots = sockeye::ids::uid(file.uid()) == Some(0);
//! # let _ = is_roots;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;
use std::fs;
use std::sync::OnceLock;

/// What the kernel shows where nothing else was configured (linux/highuid.h).
const DEFAULT_OVERFLOW: u32 = 65534;
/// All ids but -1, which is none.
const ALL: u64 = u32::MAX as u64;

/// A user id that the kernel has shown us, of a peer, a process or a file; `None` where that may
/// stand for a user without a mapping in our user namespace.
///
/// The overflow id is read once; it is changed, if at all, when a system starts.
#[must_use]
pub fn uid(shown: u32) -> Option<u32> {
    (shown != overflow_uid() || maps_all("/proc/self/uid_map")).then_some(shown)
}

/// As [`uid()`], of a group.
#[must_use]
pub fn gid(shown: u32) -> Option<u32> {
    (shown != overflow_gid() || maps_all("/proc/self/gid_map")).then_some(shown)
}

/// The effective user id of this process (geteuid(2)); `None` where it has no mapping either.
#[must_use]
pub fn own_uid() -> Option<u32> {
    uid(rustix::process::geteuid().as_raw())
}

/// Writes an id, `?` for an unknown one.
pub(crate) struct Shown(pub(crate) Option<u32>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("?"),
        }
    }
}

/// Whether these are the ids that the kernel shows for nobody at all.
pub(crate) fn are_overflow(uid: u32, gid: u32) -> bool {
    (uid, gid) == (overflow_uid(), overflow_gid())
}

fn overflow_uid() -> u32 {
    static FOUND: OnceLock<u32> = OnceLock::new();
    *FOUND.get_or_init(|| overflow("/proc/sys/kernel/overflowuid"))
}

fn overflow_gid() -> u32 {
    static FOUND: OnceLock<u32> = OnceLock::new();
    *FOUND.get_or_init(|| overflow("/proc/sys/kernel/overflowgid"))
}

fn overflow(setting: &str) -> u32 {
    let found = fs::read_to_string(setting).ok();
    found
        .and_then(|found| found.trim().parse().ok())
        .unwrap_or(DEFAULT_OVERFLOW)
}

/// Whether every user has a mapping, so that an unknown one is not just somebody outside of our
/// user namespace.
pub(crate) fn all_users_are_mapped() -> bool {
    maps_all("/proc/self/uid_map")
}

/// Not remembered: a process may enter another user namespace, and a new one gets its map later.
/// Only the overflow id has it read.
fn maps_all(map: &str) -> bool {
    fs::read_to_string(map).is_ok_and(|map| mapped(&map) == ALL)
}

/// How many ids a map has. The kernel lets no two lines overlap.
pub(crate) fn mapped(map: &str) -> u64 {
    let lengths = map.lines().map(|line| line.split_whitespace().nth(2));
    lengths
        .filter_map(|length| length?.parse::<u32>().ok())
        .map(u64::from)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_complete_with_all_ids_and_no_fewer() {
        assert_eq!(mapped("         0          0 4294967295\n"), ALL);
        assert_eq!(mapped("0 0 65534\n65534 65534 4294901761\n"), ALL);
        for incomplete in [
            "",
            "0 1000 1\n",
            "0 100000 65536\n",
            "0 0 4294967294\n",
            "65534 0 1\n",
        ] {
            assert_ne!(mapped(incomplete), ALL, "{incomplete:?}");
        }
    }

    #[test]
    fn an_ordinary_id_is_known_anywhere() {
        assert_eq!((uid(0), gid(0)), (Some(0), Some(0)));
        assert_eq!((uid(4_000_000_001), gid(7)), (Some(4_000_000_001), Some(7)));
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_the_kernels_default() {
        assert_eq!(overflow("/proc/no-such-setting"), DEFAULT_OVERFLOW);
        assert!(!maps_all("/proc/no-such-map"));
    }
}
