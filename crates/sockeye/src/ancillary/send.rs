//! One sendmsg(2): with fds, and with the credentials of another process.

use std::io::IoSlice;
use std::mem::MaybeUninit;
#[cfg(feature = "tokio")]
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
#[cfg(feature = "tokio")]
use rustix::net::SocketFlags;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType, UCred,
    sendmsg, sendmsg_addr, sockopt,
};
#[cfg(feature = "tokio")]
use rustix::process::{Gid, Pid, Uid};

use super::{MAX_DESCRIPTORS, SendError};
#[cfg(feature = "tokio")]
use crate::address::Kind;
#[cfg(feature = "tokio")]
use crate::socket;

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
/// (`SCM_CREDENTIALS`), which takes `CAP_SYS_ADMIN`, `CAP_SETUID` and `CAP_SETGID`.
///
/// The pid of a process that has ended is replaced by ours (`ESRCH`), the ids are kept: a message
/// without credentials would have ours, root's, at a receiver that asks for them.
///
/// # Errors
/// As [`sendmsg_once`].
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
    let sent = sendmsg_control(socket, bytes, descriptors, Some(credentials), to, flags)?;
    let sent = match sent {
        Err(Errno::SRCH) => {
            let credentials = UCred {
                pid: rustix::process::getpid(),
                ..*credentials
            };
            sendmsg_control(socket, bytes, descriptors, Some(&credentials), to, flags)?
        }
        sent => sent,
    };
    sent.map_err(|errno| explain(errno, socket, bytes, descriptors))
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
        // On a connected socket only refused fds give EPERM, besides credentials that may not be sent
        // (`may_send_credentials`).
        Errno::PERM if !descriptors.is_empty() => SendError::DescriptorsRefused,
        errno => errno.into(),
    }
}

/// Whether this process may send the credentials of any other ([`sendmsg_as`]), by trying it on a pair
/// of sockets.
///
/// # Errors
/// `EPERM` where it may not; otherwise as socketpair(2) and sendmsg(2).
#[cfg(feature = "tokio")]
#[allow(dead_code, reason = "the relay sends credentials on")]
pub(crate) fn may_send_credentials() -> Result<(), Errno> {
    let (ours, _theirs) = socket::pair(Kind::Datagram, SocketFlags::NONBLOCK)?;
    let somebody = UCred {
        pid: Pid::INIT,
        uid: Uid::from_raw(rustix::process::geteuid().as_raw() ^ 1),
        gid: Gid::from_raw(rustix::process::getegid().as_raw() ^ 1),
    };
    let flags = SendFlags::DONTWAIT;
    match sendmsg_control(ours.as_fd(), b"", &[], Some(&somebody), None, flags) {
        Ok(sent) => sent.map(|_| ()),
        Err(_) => unreachable!("without fds nothing is checked"),
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use rustix::net::RecvFlags;

    use super::super::{pass_credentials, recvmsg_once};
    use super::*;

    #[test]
    fn a_message_carries_the_ids_of_a_process_that_has_ended() {
        if let Err(errno) = may_send_credentials() {
            println!("skipped: {errno}, must be root");
            return;
        }
        let (left, right) = socket::pair(Kind::Datagram, SocketFlags::NONBLOCK).unwrap();
        pass_credentials(&right, true).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Pid::from_child(&child);
        child.wait().unwrap();
        let send = |pid| {
            let (uid, gid) = (Uid::from_raw(65533), Gid::from_raw(65532));
            let credentials = UCred { pid, uid, gid };
            sendmsg_as(
                &credentials,
                left.as_fd(),
                b"x",
                &[left.as_fd()],
                None,
                SendFlags::DONTWAIT,
            )
        };
        for (sent_as, seen_as) in [(Pid::INIT, Pid::INIT), (ended, rustix::process::getpid())] {
            assert_eq!(send(sent_as).unwrap(), 1);
            let received = recvmsg_once(right.as_fd(), &mut [0; 8], RecvFlags::DONTWAIT);
            let received = received.unwrap().unwrap();
            let sender = received.credentials.unwrap();
            assert_eq!(received.descriptors.len(), 1);
            assert_eq!((sender.uid(), sender.gid()), (Some(65533), Some(65532)));
            assert_eq!(sender.pid(), Some(seen_as));
        }
    }
}
