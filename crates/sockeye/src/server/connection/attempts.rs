//! Reads and writes of a stream connection or one of its halves, with the server's timeouts.

use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::core::ConnectionCore;
use crate::ancillary::{Received, RecvError, SendError};
use crate::lazy_async_fd::{Direction, LazyAsyncFd, ReadOutcome};
use crate::passing::Passing;
use crate::recv;
use crate::server::timeouts::Waiting;
use crate::stream::{self, Stream};

impl ConnectionCore<Stream> {
    pub(super) fn io(&self) -> &LazyAsyncFd {
        self.socket().io()
    }

    pub(super) fn poll_ready(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.check_abort()?;
        let ready = self.io().poll_ready(cx, direction);
        self.enforce_on_readiness(waiting, cx, direction, ready)
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_abort()?;
        self.note(Direction::Read, stream::try_read(self.io(), buffer))
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.check_abort()?;
        self.note(Direction::Write, stream::try_write(self.io(), bytes))
    }

    fn note(&self, direction: Direction, moved: io::Result<usize>) -> io::Result<usize> {
        if let (Some(activity), Ok(_)) = (self.activity(), &moved) {
            activity.moved(direction);
        }
        moved
    }

    pub(super) fn poll_recv<T>(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.check_abort()?;
        let received = self.io().poll_io(cx, Direction::Read, try_recv);
        self.enforce(waiting, cx, Direction::Read, received)
    }

    /// Sends `rest`, with the fds in `descriptors` with its first byte, and takes both away.
    pub(super) fn poll_send_msg(
        &self,
        waiting: &mut Option<Box<Waiting>>,
        cx: &mut Context<'_>,
        rest: &mut &[u8],
        descriptors: &mut &[BorrowedFd<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.check_abort()?;
        stream::poll_send_msg(self.io(), cx, rest, descriptors, |cx, sent| {
            self.enforce(waiting, cx, Direction::Write, sent)
        })
    }
}

/// One attempt to receive into `buffer`, with ancillary data.
pub(super) fn try_recv_msg(
    passing: Passing,
    buffer: &mut [u8],
) -> impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<Result<Option<Received>, RecvError>>> {
    move |fd| {
        let received = recv::try_recv_msg(fd, buffer, passing);
        RecvError::split_would_block(received).map(ReadOutcome::some)
    }
}
