//! What a socket tells of itself through ioctl(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// linux/sockios.h
const SIOCGSKNS: libc::Ioctl = 0x894c;

/// The network namespace of a socket.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in that namespace.
pub(crate) fn network_namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this request takes no argument, and touches no memory of ours.
    let raw = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
