//! [`StateFile`]: the lock of a tap, with what is needed to undo its work after it was killed.

use std::os::fd::OwnedFd;
use std::str::SplitWhitespace;
use std::thread;
use std::time::Duration;

use rustix::fs::{
    Access, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, accessat, flock, fstat,
    ftruncate, openat,
};
use rustix::io::{Errno, pread, pwrite};

use super::error::{TapError, TapErrorKind};
use super::names::TapNames;
use super::restore::{TapFile, TapFiles};
use crate::address::Address;
use crate::claim::FileIdentity;
use crate::ids;
use crate::inspect::procfs;

/// How many times the file is opened, where it was removed meanwhile or is locked, and the pause between
/// two attempts: a guardian restores the path within this time.
const ATTEMPTS: usize = 30;
const PAUSE: Duration = Duration::from_millis(10);
/// systemd-tmpfiles(8) leaves files with the sticky bit where they are, however old.
const STATE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::SVTX);
/// More is not a state file.
const LONGEST: usize = 256;
const FIRST_LINE: &str = "sockeye tap";

/// Locked (flock(2)) by the tap and its guardian, while either lives.
#[derive(Debug)]
pub(super) struct StateFile {
    file: OwnedFd,
    identity: FileIdentity,
}

impl StateFile {
    /// Takes the lock, or makes the file. Returns what a tap has left there that was killed, too.
    pub(super) fn take(
        address: &Address,
        names: &TapNames,
    ) -> Result<(Self, Option<TapFiles>), TapError> {
        let io = |errno| TapError::io(address, errno);
        let mut holder = None;
        for _ in 0..ATTEMPTS {
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let made = flags | OFlags::CREATE | OFlags::EXCL;
            let opened = match openat(&names.directory, &names.lock, flags, Mode::empty()) {
                Err(Errno::NOENT) => openat(&names.directory, &names.lock, made, STATE_MODE),
                opened => opened,
            };
            let file = match opened {
                Err(Errno::EXIST) => continue,
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                    holder = Some(denied(names).map_err(|kind| TapError::new(address, kind))?);
                    thread::sleep(PAUSE);
                    continue;
                }
                opened => opened.map_err(io)?,
            };
            let found = fstat(&file).map_err(io)?;
            if !is_trusted(names, &found).map_err(io)? {
                return Err(TapError::new(address, TapErrorKind::ForeignStateFile));
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    holder = Some(found);
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(errno) => return Err(io(errno)),
            }
            let identity = FileIdentity::of(&found);
            // Its last owner removes it while it holds the lock.
            if names.identity(&names.lock).map_err(io)? == Some(identity) {
                let left = read(&file).map_err(io)?;
                return Ok((Self { file, identity }, left));
            }
        }
        let pid = holder.as_ref().and_then(procfs::lock_holder);
        Err(TapError::new(address, TapErrorKind::Tapped { pid }))
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Writes down what undoes the displacement, before it is made.
    pub(super) fn note(&self, files: TapFiles) -> Result<(), Errno> {
        let text = format!(
            "{FIRST_LINE}\noriginal {}\ntap {}\nend\n",
            files.original, files.tap
        );
        ftruncate(&self.file, 0)?;
        match pwrite(&self.file, text.as_bytes(), 0)? {
            count if count == text.len() => Ok(()),
            _ => Err(Errno::NOSPC),
        }
    }

    /// Removes it, while it is still locked.
    pub(super) fn remove(&self, names: &TapNames) {
        remove(names, self.identity);
    }

    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }
}

/// Removes the state file, if it is that one.
pub(super) fn remove(names: &TapNames, identity: FileIdentity) {
    if names.identity(&names.lock) == Ok(Some(identity)) {
        // If that fails, the next tap uses it.
        let _ = names.unlink(&names.lock);
    }
}

/// The file that could be neither opened nor made, where it is the lock of another user's tap.
fn denied(names: &TapNames) -> Result<Stat, TapErrorKind> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    if accessat(&names.directory, ".", wanted, AtFlags::EACCESS).is_err() {
        return Err(TapErrorKind::DirectoryDenies);
    }
    match names.look_at(&names.lock) {
        Ok(Some(found)) if procfs::lock_holder(&found).is_some() => Ok(found),
        Ok(Some(_)) => Err(TapErrorKind::StateFileDenies),
        _ => Err(TapErrorKind::DirectoryDenies),
    }
}

/// Whether nobody has written it who could not change the socket file himself.
fn is_trusted(names: &TapNames, found: &Stat) -> Result<bool, Errno> {
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_nlink != 1 {
        return Ok(false);
    }
    let Some(owner) = ids::uid(found.st_uid) else {
        return Ok(false);
    };
    let of_socket = names.look_at(&names.path)?.map(|socket| socket.st_uid);
    Ok(owner == 0 || Some(owner) == ids::own_uid() || Some(owner) == of_socket)
}

/// `None` where the displacement was not about to be made.
fn read(file: &OwnedFd) -> Result<Option<TapFiles>, Errno> {
    let mut text = [0; LONGEST];
    let length = pread(file, &mut text, 0)?;
    Ok(str::from_utf8(&text[..length]).ok().and_then(parse))
}

fn parse(text: &str) -> Option<TapFiles> {
    let mut lines = text.strip_suffix("end\n")?.lines();
    if lines.next() != Some(FIRST_LINE) {
        return None;
    }
    let mut numbers = |name: &str| Some(lines.next()?.strip_prefix(name)?.split_whitespace());
    let mut original = numbers("original ")?;
    let mut tap = numbers("tap ")?;
    let next = |numbers: &mut SplitWhitespace<'_>| numbers.next()?.parse().ok();
    let identity =
        |numbers: &mut SplitWhitespace<'_>| Some(FileIdentity::new(next(numbers)?, next(numbers)?));
    Some(TapFiles {
        original: identity(&mut original)?,
        tap: TapFile {
            identity: identity(&mut tap)?,
            made: (tap.next()?.parse().ok()?, tap.next()?.parse().ok()?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_state_file_says_nothing() {
        let files = TapFiles {
            original: FileIdentity::new(1, 2),
            tap: TapFile {
                identity: FileIdentity::new(1, 3),
                made: (4, 5),
            },
        };
        let whole = format!(
            "{FIRST_LINE}\noriginal {}\ntap {}\nend\n",
            files.original, files.tap
        );
        assert_eq!(parse(&whole), Some(files));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(parse("sockeye tap\noriginal 1 x\ntap 1 3 4 5\nend\n"), None);
    }
}
