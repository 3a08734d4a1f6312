//! [`MessageReader`] and [`MessageWriter`]: the streams that [`Messages`](super::Messages) works on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::net::{SendFlags, send};

use crate::ancillary::SendError;
use crate::lazy_async_fd::{Direction, LazyAsyncFd, ReadOutcome};
use crate::server::counters::ServerSide;
use crate::server::{Connection, OwnedConnectionReadHalf};
use crate::stream::{self, OwnedReadHalf, Stream};

/// A stream whose messages [`Messages`](super::Messages) can read: a server's [`Connection`], a
/// client's [`Stream`], or the owned read half of either.
pub trait MessageReader: sealed::Read {}

/// A stream to which [`Messages`](super::Messages) can send as well: a server's [`Connection`] or a
/// client's [`Stream`].
pub trait MessageWriter: MessageReader + sealed::Write {}

pub(super) mod sealed {
    use super::*;

    pub trait Read: AsFd + Unpin + Send {
        /// What it waits with.
        fn io(&self) -> &LazyAsyncFd;

        fn poll_recv<T>(
            &mut self,
            cx: &mut Context<'_>,
            try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
        ) -> Poll<io::Result<T>>;

        /// `None` for a client.
        fn server(&self) -> Option<ServerSide<'_>> {
            None
        }

        fn begin_idle(&mut self) {}

        fn note_idle(&mut self, _idle: bool) {}

        fn mark_aborted(&mut self) {}

        /// Has the kernel accept fds, if it does not.
        fn receive_descriptors(&mut self) {}
    }

    pub trait Write: Read {
        /// Sends `rest`, with the fds in `descriptors` with its first byte, and takes both away.
        fn poll_send_msg(
            &mut self,
            cx: &mut Context<'_>,
            rest: &mut &[u8],
            descriptors: &mut &[BorrowedFd<'_>],
        ) -> Poll<Result<(), SendError>>;

        /// Sends what the socket buffer has room for, without asking for readiness.
        fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize>;
    }
}

impl MessageReader for Connection {}
impl MessageWriter for Connection {}

impl sealed::Read for Connection {
    fn io(&self) -> &LazyAsyncFd {
        self.socket().io()
    }

    fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.poll_recv(cx, try_recv)
    }

    fn server(&self) -> Option<ServerSide<'_>> {
        Some(self.server())
    }

    fn begin_idle(&mut self) {
        self.begin_idle();
    }

    fn note_idle(&mut self, idle: bool) {
        self.note_idle(idle);
    }

    fn mark_aborted(&mut self) {
        self.mark_aborted();
    }

    fn receive_descriptors(&mut self) {
        self.receive_descriptors();
    }
}

impl sealed::Write for Connection {
    fn poll_send_msg(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut &[u8],
        descriptors: &mut &[BorrowedFd<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.poll_send_msg(cx, rest, descriptors)
    }

    fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_now(bytes)
    }
}

impl MessageReader for OwnedConnectionReadHalf {}

impl sealed::Read for OwnedConnectionReadHalf {
    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.poll_recv(cx, try_recv)
    }

    fn server(&self) -> Option<ServerSide<'_>> {
        Some(self.server())
    }

    fn begin_idle(&mut self) {
        self.begin_idle();
    }

    fn note_idle(&mut self, idle: bool) {
        self.note_idle(idle);
    }

    fn mark_aborted(&mut self) {
        self.mark_aborted();
    }
}

impl MessageReader for Stream {}
impl MessageWriter for Stream {}

impl sealed::Read for Stream {
    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.poll_recv(cx, try_recv)
    }
}

impl sealed::Write for Stream {
    fn poll_send_msg(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut &[u8],
        descriptors: &mut &[BorrowedFd<'_>],
    ) -> Poll<Result<(), SendError>> {
        self.share();
        stream::poll_send_msg(self.io(), cx, rest, descriptors, |_, sent| sent)
    }

    fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(
            self,
            bytes,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        )?)
    }
}

impl MessageReader for OwnedReadHalf {}

impl sealed::Read for OwnedReadHalf {
    fn io(&self) -> &LazyAsyncFd {
        self.io()
    }

    fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.io().poll_io(cx, Direction::Read, try_recv)
    }
}
