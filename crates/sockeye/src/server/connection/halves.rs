//! The halves of a [`Connection`](super::Connection).

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::core::ConnectionCore;
use crate::lazy_async_fd::Direction;
use crate::peer::Peer;
use crate::recv;
use crate::server::timeouts::{Waiting, enforce_deadlines};
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

impl Drop for OwnedConnectionWriteHalf {
    fn drop(&mut self) {
        // It fails where the peer has closed.
        let _ = stream::half_close(self.core.socket().io());
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
                self.core.guard().set_shared_idle(idle);
            }

            /// As [`Connection::mark_aborted`](super::Connection::mark_aborted), for the whole
            /// connection.
            pub fn mark_aborted(&mut self) {
                self.core.guard().mark_aborted();
            }

            fn enforce_deadlines<T>(
                &mut self,
                cx: &mut Context<'_>,
                direction: Direction,
                result: Poll<io::Result<T>>,
            ) -> Poll<io::Result<T>> {
                let activity = self.core.activity();
                enforce_deadlines(activity, &mut self.waiting, cx, direction, result)
            }
        }

        impl AsFd for $half {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.core.as_fd()
            }
        }
    )* };
}

macro_rules! impl_read {
    ($($half:ty),*) => { $(
        impl AsyncRead for $half {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let io = self.core.socket().io();
                let passing = io.passing();
                let received = io.poll_io(cx, Direction::Read, |fd| {
                    recv::try_recv_bytes(fd, buffer, passing)
                });
                self.enforce_deadlines(cx, Direction::Read, received.map_ok(drop))
            }
        }
    )* };
}

macro_rules! impl_write {
    ($($half:ty),*) => { $(
        impl AsyncWrite for $half {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let sent = stream::poll_send(self.core.socket().io(), cx, bytes);
                self.enforce_deadlines(cx, Direction::Write, sent)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let sent = stream::poll_send_vectored(self.core.socket().io(), cx, slices);
                self.enforce_deadlines(cx, Direction::Write, sent)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(stream::half_close(self.core.socket().io()))
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
