//! The names of a tap: `DIR/.NAME.tap` and `DIR/.NAME.tap.lock` for the path `DIR/NAME`.
//!
//! A tap that stands in front of a server exchanges two socket files: its own is at the path then, and
//! the server's has the displaced name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".";
const SUFFIX: &str = ".tap";
const LOCK_SUFFIX: &str = ".tap.lock";

/// How many bytes the longer of these names has more than that of the path.
pub(crate) const ADDED_BY_TAP: usize = PREFIX.len() + LOCK_SUFFIX.len();

/// Where a tap moves the socket file of the server behind it: `DIR/.NAME.tap` for `DIR/NAME`.
#[must_use]
pub fn displaced_path(path: &Path) -> PathBuf {
    path.with_file_name(displaced_base(path.file_name().unwrap_or_default()))
}

/// The lock and state file of a tap: `DIR/.NAME.tap.lock` for `DIR/NAME`. Its flock(2) is held for as
/// long as the tap, or the guardian that restores the path after it, is alive.
#[must_use]
pub fn tap_lock_path(path: &Path) -> PathBuf {
    path.with_file_name(tap_lock_base(path.file_name().unwrap_or_default()))
}

/// As [`displaced_path`], in the same directory.
pub(crate) fn displaced_base(base: &OsStr) -> OsString {
    with_added(base, SUFFIX)
}

/// As [`tap_lock_path`], in the same directory.
pub(crate) fn tap_lock_base(base: &OsStr) -> OsString {
    with_added(base, LOCK_SUFFIX)
}

fn with_added(base: &OsStr, suffix: &str) -> OsString {
    let mut added = OsString::with_capacity(base.len() + ADDED_BY_TAP);
    added.push(PREFIX);
    added.push(base);
    added.push(suffix);
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_tap_are_beside_the_path() {
        let path = Path::new("/run/app.sock");
        assert_eq!(displaced_path(path), Path::new("/run/.app.sock.tap"));
        assert_eq!(tap_lock_path(path), Path::new("/run/.app.sock.tap.lock"));
        assert_eq!(displaced_path(Path::new("a")), Path::new(".a.tap"));
        let added = tap_lock_base(OsStr::new("a")).len() - 1;
        assert_eq!(added, ADDED_BY_TAP);
    }
}
