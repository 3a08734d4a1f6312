//! Descriptors known by their number only.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// Duplicates the descriptor `raw`, close-on-exec (fcntl(2), `F_DUPFD_CLOEXEC`).
///
/// The number comes from outside (an argument, the environment), so nothing can be said of who
/// else uses it; a duplicate is ours alone, and closing it harms nobody.
///
/// # Errors
/// `EBADF` where nothing is open under this number.
pub(crate) fn duplicate(raw: RawFd) -> io::Result<OwnedFd> {
    if raw < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: `raw` is not -1, and it is borrowed for the one system call below, which refuses a
    // number that is not open; nothing is read, written or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    Ok(fcntl_dupfd_cloexec(borrowed, 3)?)
}
