//! Descriptors known by their number only.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};

static TAKING: Mutex<()> = Mutex::new(());

/// Takes over the descriptor `raw`, which this process inherited, and makes it close-on-exec.
/// Standard input, output and error are duplicated instead, since the standard library has them;
/// standard input is /dev/null from then on, so that a listener there does not outlive its duplicate.
///
/// # Errors
/// `EBADF` where nothing is open under this number, or something that this process opened itself:
/// an inherited descriptor cannot be close-on-exec, and those that Rust programs open are.
pub(crate) fn take_inherited(raw: RawFd) -> io::Result<OwnedFd> {
    if raw < 0 {
        return Err(Errno::BADF.into());
    }
    let _one_at_a_time = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: `raw` is not -1, and it is borrowed for the system calls below, which refuse a
    // number that is not open; nothing is read, written or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    if raw <= 2 {
        let duplicate = fcntl_dupfd_cloexec(borrowed, 3)?;
        if raw == 0 {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            rustix::stdio::dup2_stdin(openat(CWD, "/dev/null", flags, Mode::empty())?)?;
        }
        return Ok(duplicate);
    }
    let flags = fcntl_getfd(borrowed)?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and nobody owns it: it came through exec, since it was not
    // close-on-exec, and was not taken before, since that would have made it so.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
