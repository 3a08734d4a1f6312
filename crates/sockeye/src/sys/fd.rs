//! File descriptors (fds) known by their number only.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Duplicates the fd `raw`, close-on-exec (fcntl(2), `F_DUPFD_CLOEXEC`).
///
/// The number comes from outside (an argument, the environment), so somebody else may use it; a
/// duplicate is ours alone.
///
/// # Errors
/// `EBADF` where nothing is open under this number.
pub(crate) fn duplicate(raw: RawFd) -> Result<OwnedFd, Errno> {
    with(raw, |fd| fcntl_dupfd_cloexec(fd, 3))
}

/// Makes the fd `raw` close-on-exec (fcntl(2), `F_SETFD`).
///
/// # Errors
/// `EBADF` where nothing is open under this number.
pub(crate) fn set_close_on_exec(raw: RawFd) -> Result<(), Errno> {
    with(raw, |fd| fcntl_setfd(fd, FdFlags::CLOEXEC))
}

fn with<T>(raw: RawFd, call: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
    if raw < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: `raw` is not -1, and it is borrowed for the one fcntl(2) of our callers, which
    // refuses a number that is not open; nothing is read, written or closed through it.
    call(unsafe { BorrowedFd::borrow_raw(raw) })
}
