//! What a socket tells of itself through ioctl(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// linux/sockios.h
const SIOCGSKNS: libc::Ioctl = 0x894c;
/// linux/un.h
const SIOCUNIXFILE: libc::Ioctl = 0x89e0;

/// The network namespace of a socket.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in that namespace.
pub(crate) fn network_namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    descriptor(socket, SIOCGSKNS)
}

/// The file that a UNIX socket is bound to, opened with `O_PATH`, wherever it is by now.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the socket's network namespace; `ENOENT` where the socket is
/// not bound to a file.
pub(crate) fn bound_file(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    descriptor(socket, SIOCUNIXFILE)
}

/// What a request answers that makes a descriptor.
fn descriptor(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: both requests take no argument, and touch no memory of ours.
    let raw = unsafe { libc::ioctl(socket.as_raw_fd(), request) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
