//! Signals to processes that rustix cannot send.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Signal;

/// linux/pidfd.h
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// Signals the process group that the process of `pidfd` led when it was started, whether that has
/// left it or ended: the group is known by the fd, not by a number that could be given away
/// again.
///
/// # Errors
/// As pidfd_send_signal(2): `ESRCH` where nobody is in that group, `EINVAL` before Linux 6.9.
pub(crate) fn signal_group(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Errno> {
    // SAFETY: no siginfo is given, and the other arguments are numbers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal.as_raw(),
            ptr::null::<libc::siginfo_t>(),
            PIDFD_SIGNAL_PROCESS_GROUP,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Whether this process outlives `SIGPIPE`: it is ignored or handled.
#[cfg(feature = "tokio")]
pub(crate) fn survives_sigpipe() -> bool {
    // SAFETY: sigaction is a plain C structure, for which all zeros are a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer changes nothing, and the other is to `action`, which outlives the call.
    let result = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction != libc::SIG_DFL
}
