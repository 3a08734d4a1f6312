//! What waits in a socket's queue, without taking it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The room for the time of a record ([`mark_records`](super::mark_records)), and for nothing else.
pub(crate) const TIME: usize = 32;

/// Whether more is next to come beside bytes than fits into `room`, descriptors most likely; nothing
/// is taken. Of a stream: whether descriptors wait anywhere in its queue.
pub(crate) fn has_control(fd: BorrowedFd<'_>, room: usize) -> bool {
    let mut control = [0_u64; TIME / 8];
    // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = room.min(size_of_val(&control)) as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the only pointer is to memory of the length beside it, which outlives the call.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    result >= 0 && header.msg_flags & libc::MSG_CTRUNC != 0
}

/// Whether there is something to receive: bytes, or a record ([`mark_records`](super::mark_records)). The end of input is
/// nothing.
pub(crate) fn has_unread(fd: BorrowedFd<'_>) -> bool {
    let mut byte = 0_u8;
    let mut bytes = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // The kernel tells of a reset first, and once; what was sent before can still be received.
    for _ in 0..2 {
        // SAFETY: msghdr is a plain C structure, for which all zeros mean "nothing".
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut bytes;
        header.msg_iovlen = 1;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: the only pointer is to `bytes`, and there to a byte; both outlive the call.
        let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
        match result {
            0.. => return result > 0 || header.msg_flags & libc::MSG_CTRUNC != 0,
            _ if io::Error::last_os_error().kind() == io::ErrorKind::ConnectionReset => {}
            _ => return false,
        }
    }
    false
}
