//! Peeks at a socket's receive queue (`MSG_PEEK`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::net::RecvFlags;

use super::RawMessage;

/// How many bytes of a stream, at most.
const LOOKED_AT: usize = 1 << 16;

/// The room for the time of a record ([`mark_records`](super::mark_records)), and for nothing else.
pub(crate) const TIME: usize = 32;

/// The room for the credentials of a message (`SO_PASSCRED`), and for nothing else.
pub(crate) const CREDENTIALS_ALONE: usize = 32;

/// The room for all that can come beside the fds of a datagram.
pub(crate) const CREDENTIALS: usize = 88;

/// Looks at what is next, up to `size` bytes of it, with no more than `most` fds, beside
/// `others` bytes of other control messages. `MSG_CTRUNC` tells that there are more; the kernel closes
/// none, since the queue still has them. Of a stream: the next fds may lie behind those bytes.
///
/// # Errors
/// As recvmsg(2).
pub(crate) fn descriptors(
    fd: BorrowedFd<'_>,
    size: usize,
    most: usize,
    others: usize,
) -> io::Result<RawMessage> {
    let most = (most * size_of::<RawFd>()) as libc::c_uint;
    // SAFETY: it only computes.
    let space = unsafe { libc::CMSG_SPACE(most) } as usize;
    let room = others + if most > 0 { space } else { 0 };
    let mut buffer = vec![0; size.min(LOOKED_AT)];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    super::recvmsg_uninit(fd, super::as_uninit(&mut buffer), flags, room)
}

/// How many bytes are next, up to the room in `buffer`, and whether more came beside them than
/// fits into `room` bytes of control messages. `room` must be exactly what comes in front of fds
/// ([`TIME`], [`CREDENTIALS_ALONE`]): fds in it would stay open. Of a stream: whether fds are anywhere
/// in the queue, whatever the size of `buffer`; and then the bytes end with the message that has the
/// first ones.
///
/// # Errors
/// As recvmsg(2). `ECONNRESET` is reported once.
pub(crate) fn bytes(
    fd: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    room: usize,
) -> io::Result<(usize, bool)> {
    let mut bytes = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut control = [0_u64; (TIME + CREDENTIALS_ALONE) / 8];
    // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut bytes;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = room.min(size_of_val(&control)) as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the pointers are to memory of the length beside it, which outlives the call.
    let count = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok((count, header.msg_flags & libc::MSG_CTRUNC != 0))
}

/// Whether more is next to come beside bytes than fits into `room`, fds most likely; nothing
/// is taken. Of a stream: whether fds wait anywhere in its queue.
pub(crate) fn has_control(fd: BorrowedFd<'_>, room: usize) -> bool {
    peek(fd, room).is_some_and(|(_, is_truncated)| is_truncated)
}

/// Whether there is something to receive: bytes, or a record ([`mark_records`](super::mark_records)).
/// EOF is nothing.
pub(crate) fn has_unread(fd: BorrowedFd<'_>) -> bool {
    peek(fd, 0).is_some_and(|(bytes, is_truncated)| bytes > 0 || is_truncated)
}

/// Whether there is a byte, and whether more came beside it than fits into `room`; `None` where
/// nothing can be received.
fn peek(fd: BorrowedFd<'_>, room: usize) -> Option<(usize, bool)> {
    let mut byte = 0_u8;
    let mut bytes = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; TIME / 8];
    // The kernel reports a reset first, and once; what was sent before can still be received.
    for _ in 0..2 {
        // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut bytes;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = room.min(size_of_val(&control)) as _;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: the pointers are to memory of the length beside them, which outlives the call.
        let count = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
        match usize::try_from(count) {
            Ok(count) => return Some((count, header.msg_flags & libc::MSG_CTRUNC != 0)),
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::ConnectionReset => {}
            Err(_) => return None,
        }
    }
    None
}
