//! Socket options and requests that rustix does not wrap.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

// Linux 6.16; the libc crate does not have it.
const SO_PASSRIGHTS: libc::c_int = 83;

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

/// `SO_NETNS_COOKIE`: a number of the socket's network namespace that no other one has had since the
/// machine started. Needs no permission.
///
/// # Errors
/// As getsockopt(2); `ENOPROTOOPT` before Linux 5.14.
pub(crate) fn namespace_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut value: u64 = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointers are to `value` and to its length, which outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The file that a UNIX socket is bound to, opened with `O_PATH`, wherever it is by now.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the socket's network namespace; `ENOENT` where the socket is
/// not bound to a file.
pub(crate) fn bound_file(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    descriptor(socket, SIOCUNIXFILE)
}

/// The fd that a request returns.
fn descriptor(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: both requests take no argument, and touch no memory of ours.
    let raw = unsafe { libc::ioctl(socket.as_raw_fd(), request) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this fd (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// `SO_PASSRIGHTS`: whether peers may pass file descriptors to `socket`. On a listening socket it is
/// for whoever connects from now on. Returns whether this kernel has the option.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn set_pass_rights(socket: BorrowedFd<'_>, on: bool) -> Result<bool, Errno> {
    let value = libc::c_int::from(on);
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    known(result)
}

/// The value of `SO_PASSRIGHTS`; `None` where this kernel does not have the option.
///
/// # Errors
/// As getsockopt(2).
pub(crate) fn pass_rights(socket: BorrowedFd<'_>) -> Result<Option<bool>, Errno> {
    is_set(socket, SO_PASSRIGHTS)
}

/// `SIOCOUTQ`: the memory of what `socket` has sent and its peer has not read, in the unit of
/// `SO_SNDBUF`. The kernel frees it by whole buffers, of up to 48 KiB each on a stream.
///
/// # Errors
/// As ioctl(2).
#[cfg(feature = "tokio")]
pub(crate) fn unread_by_peer(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value: libc::c_int = 0;
    // SAFETY: the request writes one int to the pointer, which is to `value`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut value) };
    match result {
        0 => Ok(value.cast_unsigned()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether each message brings its sender's credentials (`SO_PASSCRED`) or pidfd (`SO_PASSPIDFD`).
///
/// # Errors
/// As getsockopt(2).
#[cfg(feature = "tokio")]
pub(crate) fn reports_credentials(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    let has = |option| Ok(is_set(socket, option)?.unwrap_or(false));
    Ok(has(libc::SO_PASSCRED)? || has(super::message::SO_PASSPIDFD)?)
}

/// The value of an option of the socket; `None` where this kernel does not have the option.
fn is_set(socket: BorrowedFd<'_>, option: libc::c_int) -> Result<Option<bool>, Errno> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointers are to `value` and to its length, which outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    Ok(known(result)?.then_some(value != 0))
}

/// Whether the kernel knows the option of a call that returned `result`.
fn known(result: libc::c_int) -> Result<bool, Errno> {
    if result == 0 {
        return Ok(true);
    }
    match Errno::from_io_error(&io::Error::last_os_error()) {
        Some(Errno::NOPROTOOPT) => Ok(false),
        errno => Err(errno.unwrap_or(Errno::IO)),
    }
}
