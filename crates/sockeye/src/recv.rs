//! The read path, from a message down to one system call:
//!
//! ```text
//! Messages::next           one message                              server/messages.rs
//!   Messages::poll_fill    room in a buffer; a reset is EOF
//!   Connection::poll_recv  first-byte timeout, idle timeout         server/connection.rs
//!   poll_recv              busy polling                             here
//!   LazyAsyncFd::poll_read readiness: yields once, then epoll(7)    lazy_async_fd.rs
//!   try_recv_*             one attempt: whether its fds fit         here
//!   recvmsg*               one system call                          sys/message.rs
//! ```
//!
//! `Records` goes through `try_recv_record`, and `echo()` sends within its attempt.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use rustix::net::RecvFlags;

use crate::ancillary::{Received, RecvError, close_in_background, recvmsg_once};
use crate::busy_poll::{self, BusyPoll};
use crate::lazy_async_fd::{LazyAsyncFd, ReadOutcome};
use crate::passing::Passing;
use crate::{fd_headroom, sys};

/// Calls `try_recv` until it does not fail with `EAGAIN`: busy polls if asked to, then waits for
/// readiness.
pub(crate) fn poll_recv<T>(
    io: &mut LazyAsyncFd,
    busy: &mut Option<Box<BusyPoll>>,
    cx: &mut Context<'_>,
    mut try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
) -> Poll<io::Result<T>> {
    if let Some(done) = busy_poll::poll(busy, cx, &mut || try_recv(io.as_fd())) {
        return done.map_ok(|outcome| outcome.result);
    }
    let received = io.poll_read(cx, try_recv);
    if received.is_ready() {
        busy_poll::came(busy);
    }
    received
}

/// Receives bytes of a stream into the free room of `buffer`, and returns their number. Fds are
/// closed.
pub(crate) fn try_recv_bytes(
    fd: BorrowedFd<'_>,
    buffer: &mut impl BufMut,
    passing: Passing,
) -> io::Result<ReadOutcome<usize>> {
    if !buffer.has_remaining_mut() {
        return Ok(ReadOutcome::some(0));
    }
    // recv(2) costs 0.2 us less than recvmsg(2), and does not report that a read ended behind bytes with
    // fds.
    let received = match passing {
        Passing::Refused => sys::message::recv_bytes_append(fd, buffer)?,
        Passing::Unchecked => sys::message::recvmsg_bytes_append(fd, buffer)?,
        Passing::Discards | Passing::Receives => {
            let peeked = passing.check(fd, buffer.chunk_mut().len(), false)?;
            let mut room = buffer.limit(peeked.size);
            let (received, descriptors) =
                sys::message::recvmsg_bytes_and_fds_append(fd, &mut room)?;
            fd_headroom::spend(descriptors.len());
            close_in_background(descriptors);
            received
        }
    };
    Ok(ReadOutcome {
        result: received.count,
        is_all: received.is_all,
    })
}

/// Receives at most `limit` bytes of a stream into the free room of `buffer`, with ancillary data.
pub(crate) fn try_recv_append(
    fd: BorrowedFd<'_>,
    buffer: &mut BytesMut,
    limit: usize,
    passing: Passing,
) -> io::Result<ReadOutcome<Result<Option<Received>, RecvError>>> {
    let room = limit.min(buffer.capacity() - buffer.len());
    let peeked = match RecvError::split_would_block(passing.check(fd, room, false))? {
        Ok(peeked) => peeked,
        Err(error) => return Ok(ReadOutcome::some(Err(error))),
    };
    let room = peeked.size;
    let message = sys::message::recvmsg_append(fd, buffer, room, RecvFlags::DONTWAIT)?;
    // A read ends behind bytes with fds, and before those of another sender: more may be queued.
    let is_alone = !message.has_control && !message.is_control_truncated;
    Ok(ReadOutcome {
        is_all: (1..room).contains(&message.length) && is_alone,
        result: Received::from_raw(message, room)
            .map(|some| some.map(|received| passing.keep(received))),
    })
}

/// Receives what a stream has into `buffer`, with ancillary data.
pub(crate) fn try_recv_msg(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    passing: Passing,
) -> Result<Option<Received>, RecvError> {
    let peeked = passing.check(fd, buffer.len(), false)?;
    let received = recvmsg_once(fd, &mut buffer[..peeked.size], RecvFlags::DONTWAIT)?;
    Ok(received.map(|received| passing.keep(received)))
}

/// Receives one record into `buffer`, with ancillary data.
pub(crate) fn try_recv_record(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    passing: Passing,
) -> Result<Option<Received>, RecvError> {
    let _peeked = passing.check(fd, buffer.len(), true)?;
    let received = recvmsg_once(fd, buffer, RecvFlags::DONTWAIT)?;
    Ok(received.map(|received| passing.keep(received)))
}
