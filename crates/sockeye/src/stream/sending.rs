//! How a [`Stream`] and its halves send.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg};
use tokio::io::{AsyncWrite, Interest};

use super::Stream;
use crate::ancillary::{SendError, sendmsg_once};
use crate::lazy_async_fd::{Direction, LazyAsyncFd, ReadOutcome};

const NOT_NOW: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, |fd| try_send(fd, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, |fd| try_send_vectored(fd, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(half_close(&self.io))
    }
}

pub(crate) fn poll_send(
    io: &LazyAsyncFd,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    io.poll_io(cx, Direction::Write, |fd| {
        try_send(fd, bytes).map(ReadOutcome::some)
    })
}

pub(crate) fn poll_send_vectored(
    io: &LazyAsyncFd,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    io.poll_io(cx, Direction::Write, |fd| {
        try_send_vectored(fd, slices).map(ReadOutcome::some)
    })
}

pub(crate) fn try_send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(fd, bytes, NOT_NOW)?)
}

pub(crate) fn try_send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(sendmsg(
        fd,
        slices,
        &mut SendAncillaryBuffer::default(),
        NOT_NOW,
    )?)
}

pub(super) async fn send_msg(
    io: &LazyAsyncFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    let (mut rest, mut descriptors) = (bytes, descriptors);
    loop {
        let send = |fd: BorrowedFd<'_>| try_send_msg(fd, rest, descriptors);
        rest = &rest[io.io(Interest::WRITABLE, send).await??..];
        // They have gone with the first byte.
        descriptors = &[];
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Sends `rest`, with the fds in `descriptors` with its first byte, and takes both away. `look` is given
/// the result of each attempt.
pub(crate) fn poll_send_msg(
    io: &LazyAsyncFd,
    cx: &mut Context<'_>,
    rest: &mut &[u8],
    descriptors: &mut &[BorrowedFd<'_>],
    mut look: impl FnMut(&mut Context<'_>, PolledSend) -> PolledSend,
) -> Poll<Result<(), SendError>> {
    loop {
        let sent = io.poll_io(cx, Direction::Write, |fd| {
            try_send_msg(fd, rest, descriptors).map(ReadOutcome::some)
        });
        *rest = &rest[ready!(look(cx, sent))??..];
        *descriptors = &[];
        if rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
}

/// The result of one attempt to send.
pub(crate) type PolledSend = Poll<io::Result<Result<usize, SendError>>>;

/// Sends what there is room for, with fds.
fn try_send_msg(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<Result<usize, SendError>> {
    let sent = sendmsg_once(fd, bytes, descriptors, None, SendFlags::DONTWAIT);
    SendError::split_would_block(sent)
}

/// The peer reads to EOF, and can still answer.
pub(crate) fn half_close(io: &LazyAsyncFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(io, Shutdown::Write)?)
}
