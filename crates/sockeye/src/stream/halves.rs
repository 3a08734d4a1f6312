//! The halves of a [`Stream`](super::Stream).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lazy_async_fd::{Direction, LazyAsyncFd};
use crate::recv;

/// The half for reading, borrowed; from [`Stream::split`](super::Stream::split).
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a LazyAsyncFd);

/// The half for writing, borrowed; from [`Stream::split`](super::Stream::split).
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a LazyAsyncFd);

/// The half for reading; from [`Stream::into_split`](super::Stream::into_split).
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<LazyAsyncFd>);

/// The half for writing, which half-closes the stream when it is dropped; from
/// [`Stream::into_split`](super::Stream::into_split).
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<LazyAsyncFd>);

pub(super) fn owned(io: LazyAsyncFd) -> (OwnedReadHalf, OwnedWriteHalf) {
    let io = Arc::new(io);
    (OwnedReadHalf(Arc::clone(&io)), OwnedWriteHalf(io))
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // Where the peer has gone there is nobody to tell.
        let _ = super::half_close(&self.0);
    }
}

fn poll_read(
    io: &LazyAsyncFd,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let received = io.poll_io(cx, Direction::Read, |fd| {
        recv::try_recv_bytes(fd, buffer, io.passing())
    });
    received.map_ok(drop)
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read(self.0, cx, buffer)
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll_read(&self.0, cx, buffer)
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        super::poll_send(self.0, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        super::poll_send_vectored(self.0, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(super::half_close(self.0))
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        super::poll_send(&self.0, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        super::poll_send_vectored(&self.0, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(super::half_close(&self.0))
    }
}

impl AsFd for ReadHalf<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for WriteHalf<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for OwnedReadHalf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for OwnedWriteHalf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
