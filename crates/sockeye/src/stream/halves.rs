//! The halves of a [`Stream`](super::Stream).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::readiness;
use crate::ancillary::{Received, RecvError, SendError};
use crate::lazy_async_fd::{Direction, LazyAsyncFd};
use crate::recv;

/// The borrowed read half, from [`Stream::split`](super::Stream::split).
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a LazyAsyncFd);

/// The borrowed write half, from [`Stream::split`](super::Stream::split).
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a LazyAsyncFd);

/// The owned read half, from [`Stream::into_split`](super::Stream::into_split).
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<LazyAsyncFd>);

/// The owned write half, which half-closes the stream when it is dropped, from
/// [`Stream::into_split`](super::Stream::into_split).
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<LazyAsyncFd>);

pub(super) fn owned(io: LazyAsyncFd) -> (OwnedReadHalf, OwnedWriteHalf) {
    let io = Arc::new(io);
    (OwnedReadHalf(Arc::clone(&io)), OwnedWriteHalf(io))
}

impl OwnedReadHalf {
    pub(crate) fn io(&self) -> &LazyAsyncFd {
        &self.0
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // It fails where the peer has closed.
        let _ = super::half_close(&self.0);
    }
}

macro_rules! impl_read {
    ($($half:ty),*) => { $(
        impl $half {
            /// As [`Stream::readable`](super::Stream::readable).
            ///
            /// # Errors
            /// As epoll_ctl(2).
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn readable(&self) -> io::Result<()> {
                self.0.ready(Interest::READABLE).await?;
                Ok(())
            }

            /// As [`Stream::try_read`](super::Stream::try_read).
            ///
            /// # Errors
            /// As [`Stream::try_read`](super::Stream::try_read).
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                super::try_read(&self.0, buffer)
            }

            /// As [`Stream::try_read_buf`](super::Stream::try_read_buf).
            ///
            /// # Errors
            /// As [`Stream::try_read`](super::Stream::try_read).
            pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
                readiness::try_read_buf(&self.0, buffer)
            }

            /// As [`Stream::recv_msg`](super::Stream::recv_msg).
            ///
            /// # Errors
            /// [`RecvError`]
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn recv_msg(
                &mut self,
                buffer: &mut [u8],
            ) -> Result<Option<Received>, RecvError> {
                super::recv_msg(&self.0, buffer).await
            }
        }

        impl AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let passing = self.0.passing();
                let received = self.0.poll_io(cx, Direction::Read, |fd| {
                    recv::try_recv_bytes(fd, buffer, passing)
                });
                received.map_ok(drop)
            }
        }

        impl AsFd for $half {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        crate::raw_fd::as_raw_fd!($half);
    )* };
}

macro_rules! impl_write_half {
    ($($half:ty),*) => { $(
        impl $half {
            /// As [`Stream::writable`](super::Stream::writable).
            ///
            /// # Errors
            /// As epoll_ctl(2).
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn writable(&self) -> io::Result<()> {
                self.0.ready(Interest::WRITABLE).await?;
                Ok(())
            }

            /// As [`Stream::try_write`](super::Stream::try_write).
            ///
            /// # Errors
            /// As [`Stream::try_write`](super::Stream::try_write).
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                super::try_write(&self.0, bytes)
            }

            /// As [`Stream::try_write_vectored`](super::Stream::try_write_vectored).
            ///
            /// # Errors
            /// As [`Stream::try_write`](super::Stream::try_write).
            pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                readiness::try_write_vectored(&self.0, slices)
            }

            /// As [`Stream::send_msg`](super::Stream::send_msg).
            ///
            /// # Errors
            /// As [`Stream::send_msg`](super::Stream::send_msg).
            ///
            /// # Cancel safety
            /// None: part of the bytes may have been sent, with the fds.
            pub async fn send_msg(
                &mut self,
                bytes: &[u8],
                descriptors: &[BorrowedFd<'_>],
            ) -> Result<(), SendError> {
                super::sending::send_msg(&self.0, bytes, descriptors).await
            }
        }
    )* };
}

macro_rules! impl_write {
    ($($half:ty),*) => { $(
        impl AsyncWrite for $half {
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

        impl AsFd for $half {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        crate::raw_fd::as_raw_fd!($half);
    )* };
}

impl_read!(ReadHalf<'_>, OwnedReadHalf);
impl_write_half!(WriteHalf<'_>, OwnedWriteHalf);
impl_write!(WriteHalf<'_>, OwnedWriteHalf);
