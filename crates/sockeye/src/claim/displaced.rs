//! The names of a tap: `DIR/.NAME.tap` and `DIR/.NAME.tap.lock` for the path `DIR/NAME`.
//!
//! A tap that stands in front of a server exchanges two socket files: its own is at the path then, and
//! the server's has the displaced name. At no instant is a file at neither, so a server finds its own
//! file under one of these two names.

use std::ffi::{OsStr, OsString};
#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

#[cfg(feature = "tokio")]
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::place::{FileIdentity, Place};

const PREFIX: &str = ".";
const SUFFIX: &str = ".tap";
const LOCK_SUFFIX: &str = ".tap.lock";

/// How many bytes the longer of these names has more than that of the path.
pub(crate) const ADDED_BY_TAP: usize = PREFIX.len() + LOCK_SUFFIX.len();

/// How many times both names are looked at. In each round a tap has come or gone.
const ATTEMPTS: usize = 64;

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

impl Place {
    /// Opens this file of a server, under whichever of its names.
    #[cfg(feature = "tokio")]
    pub(crate) fn open_bound(&self, file: FileIdentity) -> Result<Option<OwnedFd>, Errno> {
        let found = self.find_bound(|_, stat| FileIdentity::of(stat) == file)?;
        Ok(found.map(|(file, _)| file))
    }

    /// The file of a server for which `is_it` holds, under whichever of its names.
    #[cfg(feature = "tokio")]
    pub(super) fn find_bound(
        &self,
        is_it: impl Fn(&OwnedFd, &Stat) -> bool,
    ) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        self.in_turn(|base| {
            let file = self.open_file(base)?;
            let stat = fstat(&file)?;
            Ok(is_it(&file, &stat).then_some((file, stat)))
        })
    }

    /// The name of this file of a server: that of the path, or the displaced one.
    pub(crate) fn name_of(&self, file: FileIdentity) -> Result<Option<OsString>, Errno> {
        self.in_turn(|base| {
            let found = self.look_at(base)?;
            let is_it = found.is_some_and(|found| FileIdentity::of(&found) == file);
            Ok(is_it.then(|| base.to_owned()))
        })
    }

    /// Unlinks this file of a server of ours, under whichever of its names. The lock of the path must be
    /// held, and the socket be open.
    ///
    /// If a tap exchanges the files between our look and unlink(2), the one that it has made is removed,
    /// which a tap expects, and then the server's, which has its other name.
    pub(super) fn unlink_bound(&self, file: FileIdentity) -> Result<(), Errno> {
        for _ in 0..ATTEMPTS {
            match self.name_of(file)? {
                Some(base) => self.unlink(&base, file)?,
                None => break,
            }
        }
        Ok(())
    }

    /// The first result of `look` at both names. The path is looked at once more: a tap may have
    /// restored it between the first two looks.
    fn in_turn<T>(
        &self,
        look: impl Fn(&OsStr) -> Result<Option<T>, Errno>,
    ) -> Result<Option<T>, Errno> {
        let displaced = displaced_base(&self.base);
        for base in [&self.base, &displaced, &self.base, &displaced] {
            match look(base) {
                Ok(None) | Err(Errno::NOENT) => {}
                // So long a path has no room for a tap.
                Err(Errno::NAMETOOLONG) if base != &self.base => {}
                found => return found,
            }
        }
        Ok(None)
    }
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
