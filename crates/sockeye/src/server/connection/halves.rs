//! The halves of a [`Connection`](super::Connection).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::attempts::try_recv_msg;
use super::core::ConnectionCore;
use crate::ancillary::{Received, RecvError, SendError};
use crate::lazy_async_fd::{Direction, LazyAsyncFd, ReadOutcome};
use crate::peer::Peer;
use crate::recv;
use crate::server::counters::ServerSide;
use crate::server::timeouts::Waiting;
use crate::stream::{self, Stream};

/// The borrowed read half, from [`Connection::split`](super::Connection::split).
#[derive(Debug)]
pub struct ConnectionReadHalf<'a> {
    core: &'a ConnectionCore<Stream>,
    waiting: &'a mut Option<Box<Waiting>>,
}

/// The borrowed write half, from [`Connection::split`](super::Connection::split).
#[derive(Debug)]
pub struct ConnectionWriteHalf<'a> {
    core: &'a ConnectionCore<Stream>,
    waiting: &'a mut Option<Box<Waiting>>,
}

/// The owned read half, from [`Connection::into_split`](super::Connection::into_split).
#[derive(Debug)]
pub struct OwnedConnectionReadHalf {
    core: Arc<ConnectionCore<Stream>>,
    waiting: Option<Box<Waiting>>,
}

/// The owned write half, which half-closes the connection when it is dropped, from
/// [`Connection::into_split`](super::Connection::into_split).
#[derive(Debug)]
pub struct OwnedConnectionWriteHalf {
    core: Arc<ConnectionCore<Stream>>,
    waiting: Option<Box<Waiting>>,
}

pub(super) fn borrowed<'a>(
    core: &'a ConnectionCore<Stream>,
    [read, write]: &'a mut [Option<Box<Waiting>>; 2],
) -> (ConnectionReadHalf<'a>, ConnectionWriteHalf<'a>) {
    let reader = ConnectionReadHalf {
        core,
        waiting: read,
    };
    let writer = ConnectionWriteHalf {
        core,
        waiting: write,
    };
    (reader, writer)
}

pub(super) fn owned(
    core: ConnectionCore<Stream>,
    [read, write]: [Option<Box<Waiting>>; 2],
) -> (OwnedConnectionReadHalf, OwnedConnectionWriteHalf) {
    let core = Arc::new(core);
    let reader = OwnedConnectionReadHalf {
        core: Arc::clone(&core),
        waiting: read,
    };
    let writer = OwnedConnectionWriteHalf {
        core,
        waiting: write,
    };
    (reader, writer)
}

/// For [`Messages`](crate::server::Messages).
impl OwnedConnectionReadHalf {
    pub(in crate::server) fn io(&self) -> &LazyAsyncFd {
        self.core.io()
    }

    pub(in crate::server) fn server(&self) -> ServerSide<'_> {
        ServerSide(self.core.counters())
    }

    pub(in crate::server) fn begin_idle(&mut self) {
        self.core.begin_idle();
    }

    pub(in crate::server) fn note_idle(&mut self, idle: bool) {
        self.core.guard().note_shared_idle(idle);
    }

    pub(in crate::server) fn poll_recv<T>(
        &mut self,
        cx: &mut Context<'_>,
        try_recv: impl FnMut(BorrowedFd<'_>) -> io::Result<ReadOutcome<T>>,
    ) -> Poll<io::Result<T>> {
        self.core.poll_recv(&mut self.waiting, cx, try_recv)
    }
}

impl Drop for OwnedConnectionWriteHalf {
    fn drop(&mut self) {
        // It fails where the peer has closed.
        let _ = stream::half_close(self.core.io());
    }
}

macro_rules! impl_half {
    ($($half:ty),*) => { $(
        impl $half {
            /// The peer credentials (`SO_PEERCRED`).
            ///
            /// # Errors
            /// As [`Peer::of`].
            pub fn peer(&self) -> io::Result<Peer> {
                Peer::of(self)
            }

            /// As [`Connection::shutdown_token`](super::Connection::shutdown_token).
            #[must_use]
            pub fn shutdown_token(&self) -> CancellationToken {
                self.core.counters().drain.token().child_token()
            }

            /// As [`Connection::abort_token`](super::Connection::abort_token).
            #[must_use]
            pub fn abort_token(&self) -> CancellationToken {
                self.core.counters().abort.token().child_token()
            }

            /// As [`Connection::set_idle`](super::Connection::set_idle), for the whole connection:
            /// what one of the halves has marked last counts.
            pub fn set_idle(&mut self, idle: bool) {
                self.core.mark_idle(idle);
            }

            /// As [`Connection::mark_aborted`](super::Connection::mark_aborted), for the whole
            /// connection.
            pub fn mark_aborted(&mut self) {
                self.core.guard().mark_aborted();
            }
        }

        impl AsFd for $half {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.core.as_fd()
            }
        }

        crate::raw_fd::as_raw_fd!($half);
    )* };
}

macro_rules! impl_read {
    ($($half:ty),*) => { $(
        impl $half {
            /// As [`Connection::readable`](super::Connection::readable).
            ///
            /// # Errors
            /// As [`Connection::readable`](super::Connection::readable).
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn readable(&mut self) -> io::Result<()> {
                let Self { core, waiting } = self;
                poll_fn(|cx| core.poll_ready(waiting, cx, Direction::Read)).await
            }

            /// As [`Stream::try_read`].
            ///
            /// # Errors
            /// As [`Stream::try_read`].
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.core.try_read(buffer)
            }

            /// As [`Connection::recv_msg`](super::Connection::recv_msg).
            ///
            /// # Errors
            /// As [`Connection::recv_msg`](super::Connection::recv_msg).
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn recv_msg(
                &mut self,
                buffer: &mut [u8],
            ) -> Result<Option<Received>, RecvError> {
                let Self { core, waiting } = self;
                let mut try_recv = try_recv_msg(core.io().passing(), buffer);
                poll_fn(|cx| core.poll_recv(waiting, cx, &mut try_recv)).await?
            }
        }

        impl AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let Self { core, waiting } = self.get_mut();
                let passing = core.io().passing();
                let received = core.poll_recv(waiting, cx, |fd| {
                    recv::try_recv_bytes(fd, buffer, passing)
                });
                received.map_ok(drop)
            }
        }
    )* };
}

macro_rules! impl_write {
    ($($half:ty),*) => { $(
        impl $half {
            /// As [`Connection::writable`](super::Connection::writable).
            ///
            /// # Errors
            /// As [`Connection::writable`](super::Connection::writable).
            ///
            /// # Cancel safety
            /// Dropping the future loses nothing.
            pub async fn writable(&mut self) -> io::Result<()> {
                let Self { core, waiting } = self;
                poll_fn(|cx| core.poll_ready(waiting, cx, Direction::Write)).await
            }

            /// As [`Stream::try_write`].
            ///
            /// # Errors
            /// As [`Stream::try_write`].
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.core.try_write(bytes)
            }

            /// As [`Connection::send_msg`](super::Connection::send_msg).
            ///
            /// # Errors
            /// As [`Connection::send_msg`](super::Connection::send_msg).
            ///
            /// # Cancel safety
            /// None: part of the bytes may have been sent, with the fds.
            pub async fn send_msg(
                &mut self,
                bytes: &[u8],
                descriptors: &[BorrowedFd<'_>],
            ) -> Result<(), SendError> {
                let (mut rest, mut descriptors) = (bytes, descriptors);
                let Self { core, waiting } = self;
                poll_fn(|cx| core.poll_send_msg(waiting, cx, &mut rest, &mut descriptors)).await
            }
        }

        impl AsyncWrite for $half {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let Self { core, waiting } = self.get_mut();
                core.check_abort()?;
                let sent = stream::poll_send(core.io(), cx, bytes);
                core.enforce(waiting, cx, Direction::Write, sent)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let Self { core, waiting } = self.get_mut();
                core.check_abort()?;
                let sent = stream::poll_send_vectored(core.io(), cx, slices);
                core.enforce(waiting, cx, Direction::Write, sent)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(stream::half_close(self.core.io()))
            }
        }
    )* };
}

impl_half!(
    ConnectionReadHalf<'_>,
    ConnectionWriteHalf<'_>,
    OwnedConnectionReadHalf,
    OwnedConnectionWriteHalf
);
impl_read!(ConnectionReadHalf<'_>, OwnedConnectionReadHalf);
impl_write!(ConnectionWriteHalf<'_>, OwnedConnectionWriteHalf);
