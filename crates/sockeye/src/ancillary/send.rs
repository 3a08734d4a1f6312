//! One sendmsg(2): with fds, and with the credentials of another process.

use std::io::IoSlice;
use std::mem::MaybeUninit;
#[cfg(feature = "tokio")]
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
#[cfg(feature = "tokio")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
#[cfg(feature = "tokio")]
use rustix::net::SocketFlags;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType, UCred,
    sendmsg, sendmsg_addr, sockopt,
};
#[cfg(feature = "tokio")]
use rustix::process::{Gid, Uid, getpid};

use super::{MAX_DESCRIPTORS, SendError};
#[cfg(feature = "tokio")]
use crate::address::Kind;
#[cfg(feature = "tokio")]
use crate::socket;

/// Set once the kernel has refused the pid of another process, so that it is not asked for each message.
#[cfg(feature = "tokio")]
static IS_PID_REFUSED: AtomicBool = AtomicBool::new(false);

/// One sendmsg(2), after checks that give better errors. Returns how many bytes were sent.
pub(crate) fn sendmsg_once(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    to: Option<&SocketAddrUnix>,
    flags: SendFlags,
) -> Result<usize, SendError> {
    let sent = match (descriptors, to) {
        ([], None) => rustix::net::send(socket, bytes, flags | SendFlags::NOSIGNAL),
        ([], Some(to)) => rustix::net::sendto(socket, bytes, flags | SendFlags::NOSIGNAL, to),
        _ => sendmsg_control(socket, bytes, descriptors, None, to, flags)?,
    };
    sent.map_err(|errno| explain(errno, socket, bytes, descriptors))
}

/// As [`sendmsg_once`], with the credentials of another process in place of our own
/// (`SCM_CREDENTIALS`), which takes `CAP_SETUID` and `CAP_SETGID`.
///
/// The pid is replaced by ours where that process has ended (`ESRCH`), and without `CAP_SYS_ADMIN`, as
/// in most containers. The ids are kept: a message without credentials would have ours, root's, at a
/// receiver that asks for them, so that a client could send as root by ending.
///
/// # Errors
/// As [`sendmsg_once`], and [`SendError::CredentialsRefused`].
#[cfg(feature = "tokio")]
#[allow(dead_code, reason = "the relay sends credentials on")]
pub(crate) fn sendmsg_as(
    credentials: &UCred,
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    to: Option<&SocketAddrUnix>,
    flags: SendFlags,
) -> Result<usize, SendError> {
    let send_as = |credentials| {
        let sent = sendmsg_control(socket, bytes, descriptors, Some(credentials), to, flags)?;
        sent.map_err(|errno| match errno {
            Errno::PERM if may_send(credentials) == Err(Errno::PERM) => {
                SendError::CredentialsRefused
            }
            errno => explain(errno, socket, bytes, descriptors),
        })
    };
    let with_own_pid = || UCred {
        pid: getpid(),
        ..*credentials
    };
    if IS_PID_REFUSED.load(Ordering::Relaxed) {
        return send_as(&with_own_pid());
    }
    match send_as(credentials) {
        Err(SendError::Io(error)) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {
            send_as(&with_own_pid())
        }
        Err(SendError::CredentialsRefused) if credentials.pid != getpid() => {
            let sent = send_as(&with_own_pid())?;
            IS_PID_REFUSED.store(true, Ordering::Relaxed);
            Ok(sent)
        }
        sent => sent,
    }
}

/// The outer error is of a check, and nothing was tried then.
fn sendmsg_control(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    credentials: Option<&UCred>,
    to: Option<&SocketAddrUnix>,
    flags: SendFlags,
) -> Result<Result<usize, Errno>, SendError> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(SendError::TooManyDescriptors(descriptors.len()));
    }
    if !descriptors.is_empty()
        && bytes.is_empty()
        && sockopt::socket_type(socket)? == SocketType::STREAM
    {
        return Err(SendError::NoBytes);
    }
    // There is room for all that is pushed.
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS), ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    if let Some(credentials) = credentials {
        control.push(SendAncillaryMessage::ScmCredentials(*credentials));
    }
    let bytes = [IoSlice::new(bytes)];
    let flags = flags | SendFlags::NOSIGNAL;
    Ok(match to {
        None => sendmsg(socket, &bytes, &mut control, flags),
        Some(to) => sendmsg_addr(socket, to, &bytes, &mut control, flags),
    })
}

fn explain(
    errno: Errno,
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> SendError {
    match errno {
        Errno::MSGSIZE => match sockopt::socket_send_buffer_size(socket) {
            Ok(buffer) => SendError::TooLong {
                size: bytes.len(),
                buffer,
            },
            Err(errno) => errno.into(),
        },
        // On a connected socket only refused fds give EPERM, besides credentials that may not be sent.
        Errno::PERM if !descriptors.is_empty() => SendError::DescriptorsRefused,
        errno => errno.into(),
    }
}

/// Whether this process may send the ids of any other ([`sendmsg_as`]).
///
/// # Errors
/// `EPERM` where it may not; otherwise as socketpair(2) and sendmsg(2).
#[cfg(feature = "tokio")]
#[allow(dead_code, reason = "the relay sends credentials on")]
pub(crate) fn may_send_credentials() -> Result<(), Errno> {
    may_send(&UCred {
        pid: getpid(),
        uid: Uid::from_raw(rustix::process::geteuid().as_raw() ^ 1),
        gid: Gid::from_raw(rustix::process::getegid().as_raw() ^ 1),
    })
}

/// Tries it on a pair of sockets, since `EPERM` has other reasons too.
#[cfg(feature = "tokio")]
fn may_send(credentials: &UCred) -> Result<(), Errno> {
    let (ours, _theirs) = socket::pair(Kind::Datagram, SocketFlags::NONBLOCK)?;
    let flags = SendFlags::DONTWAIT;
    match sendmsg_control(ours.as_fd(), b"", &[], Some(credentials), None, flags) {
        Ok(sent) => sent.map(|_| ()),
        Err(_) => unreachable!("without fds nothing is checked"),
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests;
