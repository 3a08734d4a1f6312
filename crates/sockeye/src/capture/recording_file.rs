//! Opens the file of a recording, without overwriting what is none.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, ftruncate,
    open as open_file, stat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::open_failure::OpenFailure;
use super::pcapng::SECTION_HEADER;
use crate::address::quoted;
use crate::hint::{file_type_name, hint_for};
use crate::socket::path_of;

/// Why no recording can be written to a file.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub struct RecorderError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub kind: RecorderErrorKind,
}

/// Why no recording can be written to a file.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RecorderErrorKind {
    /// It has contents that are no recording.
    #[error("it is no recording; remove it, or name another file")]
    NotARecording,
    /// It belongs to another user.
    #[error("it belongs to uid {0}; remove it, or name another file")]
    OtherOwner(u32),
    /// Another recorder writes to it.
    #[error("another process records to it; name another file")]
    InUse,
    /// It is a FIFO that nobody reads.
    #[error("nobody reads this FIFO; start its reader first")]
    NoReader,
    /// A file that no recording can be written to.
    #[error("it is {}; name another file", file_type_name(*.0))]
    WrongType(FileType),
    /// It cannot be opened.
    #[error(transparent)]
    Open(OpenFailure),
    /// A system call failed.
    #[error("{0}; {hint}", hint = hint_for(Errno::from_io_error(.0)))]
    Io(io::Error),
}

impl RecorderError {
    pub(super) fn new(path: &Path, error: io::Error) -> Self {
        let kind = RecorderErrorKind::Io(error);
        let path = path.to_owned();
        Self { path, kind }
    }
}

impl fmt::Display for RecorderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot record to {}: {}", quoted(&self.path), self.kind)
    }
}

impl From<Errno> for RecorderErrorKind {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

crate::error_debug::debug_as_display!(RecorderError);
crate::error_debug::debug_as_display!(RecorderErrorKind);

/// Opens a file for a recording: created with mode 0600, or emptied.
pub(super) fn open(path: &Path) -> Result<OwnedFd, RecorderError> {
    open_for_writing(path).map_err(|kind| {
        let path = path.to_owned();
        RecorderError { path, kind }
    })
}

fn open_for_writing(path: &Path) -> Result<OwnedFd, RecorderErrorKind> {
    // Without O_NONBLOCK a FIFO waits for its reader.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = open_file(path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    let fd = opened.map_err(|error| unopened(path, error))?;
    let stat = fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        take_over(fd.as_fd(), &stat)?;
    }
    Ok(fd)
}

/// Why it cannot be opened.
fn unopened(path: &Path, error: Errno) -> RecorderErrorKind {
    let found = stat(path).ok();
    let found = found.map(|found| (FileType::from_raw_mode(found.st_mode), found.st_uid));
    match (error, found) {
        (Errno::NXIO, Some((FileType::Fifo, _))) => RecorderErrorKind::NoReader,
        (Errno::NXIO, Some((file @ FileType::Socket, _))) => RecorderErrorKind::WrongType(file),
        // Also where its mode would allow it (fs.protected_regular, proc_sys_fs(5)).
        (Errno::ACCESS, Some((FileType::RegularFile, owner))) if owner != geteuid().as_raw() => {
            RecorderErrorKind::OtherOwner(owner)
        }
        _ => match OpenFailure::explain(path, error.into(), true) {
            OpenFailure::WrongType(file) => RecorderErrorKind::WrongType(file),
            failure => RecorderErrorKind::Open(failure),
        },
    }
}

/// Empties a regular file, if it is ours and nobody else's.
fn take_over(fd: impl AsFd + Copy, stat: &Stat) -> Result<(), RecorderErrorKind> {
    if stat.st_uid != geteuid().as_raw() {
        return Err(RecorderErrorKind::OtherOwner(stat.st_uid));
    }
    // Any other error: not every file system has locks.
    if let Err(Errno::WOULDBLOCK) = flock(fd, FlockOperation::NonBlockingLockExclusive) {
        return Err(RecorderErrorKind::InUse);
    }
    // The size may have changed before the lock.
    if fstat(fd)?.st_size > 0 && !is_recording(fd) {
        return Err(RecorderErrorKind::NotARecording);
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let own = mode & (Mode::RUSR | Mode::WUSR);
    if own != mode {
        fchmod(fd, own)?;
    }
    Ok(ftruncate(fd, 0)?)
}

fn is_recording(fd: impl AsFd) -> bool {
    let mut start = [0; 4];
    let file = File::open(path_of(fd));
    let read = file.and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == SECTION_HEADER.to_le_bytes()
}
