//! Undoes a displacement, wherever it has stopped.

use std::fmt;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::names::TapNames;
use crate::claim::FileIdentity;

/// Each round more is needed only where somebody has changed the names in between.
const ATTEMPTS: usize = 64;

/// How a displaced path was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored {
    /// The server's socket is at the path again: the same file as before the tap.
    Original,
    /// The server had replaced the path, or removed the file there; that was left, and the displaced
    /// file was removed.
    Replaced,
    /// Somebody had renamed the path; the server's socket has that name now.
    Renamed,
    /// The server had removed its own file; the tap's was removed, too.
    Removed,
    /// The tap was not in front of it yet, or not any more; its socket was removed.
    Unused,
    /// Nothing of a tap was there.
    Unchanged,
}

/// The two files that a displacement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapFiles {
    /// The server's socket.
    pub(super) original: FileIdentity,
    /// The tap's socket.
    pub(super) tap: TapFile,
}

/// The socket file of a tap. Once the tap has ended, its inode number may be that of a new file; the
/// time tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapFile {
    pub(super) identity: FileIdentity,
    /// When it was made, in seconds and nanoseconds: nobody writes to a socket file (`st_mtim`).
    pub(super) made: (i64, i64),
}

impl TapFile {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            identity: FileIdentity::of(stat),
            made: (stat.st_mtime, stat.st_mtime_nsec as i64),
        }
    }
}

impl fmt::Display for TapFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanoseconds) = self.made;
        write!(f, "{} {seconds} {nanoseconds}", self.identity)
    }
}

impl TapFiles {
    /// Puts the original back, whatever has been done so far, and by whomever: called again it changes
    /// nothing. Only files with these identities are moved or removed. Neither memory nor a lock is
    /// needed.
    pub(super) fn restore(self, names: &TapNames) -> Result<Restored, Errno> {
        for _ in 0..ATTEMPTS {
            let found = names.look_at(&names.path)?;
            let beside = names.look_at(&names.displaced)?;
            if self.is_tap(beside.as_ref()) {
                // Before the exchange, or after it was undone.
                names.unlink(&names.displaced)?;
                return Ok(Restored::Unused);
            }
            let is_ours = self.is_tap(found.as_ref());
            if self.is_original(beside.as_ref()) {
                if !is_ours {
                    names.unlink(&names.displaced)?;
                    return Ok(Restored::Replaced);
                }
                if self.exchange_back(names)? {
                    return Ok(Restored::Original);
                }
            } else if is_ours {
                names.unlink(&names.path)?;
                return Ok(Restored::Removed);
            } else {
                return Ok(Restored::Unchanged);
            }
        }
        Err(Errno::BUSY)
    }

    pub(super) fn is_tap(&self, found: Option<&Stat>) -> bool {
        found.is_some_and(|found| TapFile::of(found) == self.tap)
    }

    pub(super) fn is_original(&self, found: Option<&Stat>) -> bool {
        found.is_some_and(|found| FileIdentity::of(found) == self.original)
    }

    /// `false` where somebody has replaced the path since it was looked at.
    fn exchange_back(self, names: &TapNames) -> Result<bool, Errno> {
        match names.exchange() {
            // One of them has gone.
            Err(Errno::NOENT) => return Ok(false),
            exchanged => exchanged?,
        }
        if self.is_tap(names.look_at(&names.displaced)?.as_ref()) {
            names.unlink(&names.displaced)?;
            return Ok(true);
        }
        // What the server has put there in that instant goes back.
        match names.exchange() {
            Ok(()) | Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Puts the tap's socket in front. `false`, and nothing was changed, where the path is another file
    /// by now.
    pub(super) fn displace(self, names: &TapNames) -> Result<bool, Errno> {
        if !self.is_original(names.look_at(&names.path)?.as_ref()) {
            return Ok(false);
        }
        match names.exchange() {
            Err(Errno::NOENT) => return Ok(false),
            exchanged => exchanged?,
        }
        if self.is_original(names.look_at(&names.displaced)?.as_ref()) {
            return Ok(true);
        }
        match names.exchange() {
            Ok(()) | Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests;
