//! [`RelayEnd`]: one side of a relay.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::UCred;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::relay_piece::RelayPiece;
use super::relay_socket::{RelaySocket, SocketKind};
use super::report::RelayFailure;
use super::unread::{self, Keep};
use crate::ancillary::SendError;
use crate::lazy_async_fd::LazyAsyncFd;
use crate::listener::ConnectedSocket;
use crate::net_stream::NetStream;
use crate::packet::SeqPacket;
use crate::server::{Connection, ConnectionPermit};
use crate::stream::Stream;

/// One side of a relay: a socket of this crate, a connection of a
/// [`Server`](crate::server::Server) with its permit and its timeouts, or anything that reads and
/// writes.
///
/// ```
/// use sockeye::Stream;
/// use sockeye::relay::RelayEnd;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (one, other) = Stream::pair()?;
/// let client = RelayEnd::from(one);
/// let (one, _) = tokio::io::duplex(4096);
/// let target = RelayEnd::io(one);
/// # drop((other, client, target));
/// # Ok(())
/// # }
/// ```
pub struct RelayEnd {
    // Dropped in this order: the socket is closed before its permit is free.
    pub(super) io: EndIo,
    pub(super) permit: Option<ConnectionPermit>,
    /// The first-byte timeout and the idle timeout of its server.
    pub(super) timeouts: [Option<Duration>; 2],
}

/// What reads and writes, without fds.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(super) enum EndIo {
    Socket(RelaySocket),
    Other(Box<dyn Duplex>),
}

impl RelayEnd {
    /// Anything that reads and writes, where fds do not matter. A connection that was reset is dropped
    /// without `poll_shutdown`.
    pub fn io(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            io: EndIo::Other(Box::new(io)),
            permit: None,
            timeouts: [None; 2],
        }
    }

    fn socket(io: LazyAsyncFd) -> Self {
        Self {
            io: EndIo::Socket(RelaySocket::new(io)),
            permit: None,
            timeouts: [None; 2],
        }
    }
}

impl From<Stream> for RelayEnd {
    fn from(stream: Stream) -> Self {
        Self::socket(stream.into_io())
    }
}

impl From<SeqPacket> for RelayEnd {
    fn from(socket: SeqPacket) -> Self {
        Self::socket(socket.into_io())
    }
}

impl From<NetStream> for RelayEnd {
    fn from(stream: NetStream) -> Self {
        Self::socket(stream.into_io())
    }
}

impl<S: ConnectedSocket> From<Connection<S>> for RelayEnd {
    fn from(connection: Connection<S>) -> Self {
        let (socket, permit, timeouts) = connection.into_relayed();
        Self {
            permit: Some(permit),
            timeouts,
            ..Self::socket(socket.into_io())
        }
    }
}

impl fmt::Debug for RelayEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.io.kind();
        let mut found = f.debug_struct("RelayEnd");
        found.field("kind", &kind).finish_non_exhaustive()
    }
}

impl EndIo {
    /// `None` where it is no socket.
    pub(super) fn kind(&self) -> Option<SocketKind> {
        self.as_socket().map(|socket| socket.kind)
    }

    pub(super) fn as_socket(&self) -> Option<&RelaySocket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Other(_) => None,
        }
    }

    pub(super) fn as_socket_mut(&mut self) -> Option<&mut RelaySocket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Other(_) => None,
        }
    }

    /// Whether the other process has closed without reading everything: to a read that may look like an
    /// orderly end.
    pub(super) fn was_reset(&self) -> bool {
        self.as_socket().is_some_and(|socket| socket.was_reset)
    }

    pub(super) fn is_unix(&self) -> bool {
        !matches!(self.kind(), None | Some(SocketKind::Network))
    }

    /// Receives bytes, without any fds, into the room of `buffer`.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => {
                let passing = socket.io.passing();
                let read = |fd: BorrowedFd<'_>| crate::recv::try_recv_bytes(fd, buffer, passing);
                socket.io.poll_read(cx, read)
            }
            Self::Other(io) => poll_read_buf(Pin::new(io), cx, buffer),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        credentials: Option<&UCred>,
    ) -> Poll<Result<usize, SendError>> {
        match self {
            Self::Socket(socket) => socket.poll_send(cx, bytes, &[], credentials),
            Self::Other(io) => poll_write_other(io, cx, bytes),
        }
    }

    /// Sends as much of `piece` as there is room for: bytes of a stream, or the record.
    pub(super) fn poll_send_piece(
        &mut self,
        cx: &mut Context<'_>,
        piece: &RelayPiece,
    ) -> Poll<Result<usize, SendError>> {
        match self {
            Self::Socket(socket) => {
                let fds: Vec<BorrowedFd<'_>> = piece.fds.iter().map(AsFd::as_fd).collect();
                socket.poll_send(cx, &piece.bytes, &fds, piece.credentials.as_ref())
            }
            Self::Other(io) => poll_write_other(io, cx, &piece.bytes),
        }
    }

    /// Sends what a buffer of the other side's own may hold.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if let Self::Other(io) = self {
            let _ = Pin::new(io).poll_flush(cx);
        }
    }

    /// Half-closes: the reader gets EOF after what was sent.
    pub(super) fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(socket) => {
                socket.close_write();
                Poll::Ready(())
            }
            Self::Other(io) => {
                let _ = ready!(Pin::new(io).poll_shutdown(cx));
                Poll::Ready(())
            }
        }
    }

    /// Completes once the other process has closed its connection, or both directions of it.
    pub(super) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.as_socket() {
            Some(socket) => socket.poll_hang_up(cx),
            None => Poll::Pending,
        }
    }

    /// What a failed send to it says about the reader.
    pub(super) fn classify(&mut self, error: SendError) -> SendFailure {
        let error = match error {
            SendError::Io(error) => error,
            SendError::DescriptorsRefused => return SendFailure::FdsRefused,
            SendError::TooLong { size, buffer } => {
                return SendFailure::Fatal(RelayFailure::NoSendBuffer { size, buffer });
            }
            other => return SendFailure::Fatal(RelayFailure::Io(other.into())),
        };
        if let Some(libc::ETOOMANYREFS) = error.raw_os_error() {
            return SendFailure::Fatal(RelayFailure::TooManyInFlight);
        }
        let Self::Socket(socket) = self else {
            return SendFailure::Gone;
        };
        let is_unix = socket.kind != SocketKind::Network;
        let has_gone = match error.kind() {
            io::ErrorKind::BrokenPipe if is_unix && !socket.hangs_up() => {
                return SendFailure::Closed;
            }
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => true,
            _ => !is_unix,
        };
        if !has_gone {
            return SendFailure::Fatal(RelayFailure::Io(error));
        }
        // It has closed without reading this.
        socket.was_reset = true;
        SendFailure::Gone
    }

    /// Tells the writer that nobody reads any more: its writes fail with `EPIPE` then. The last byte that
    /// is queued stays, so that a close can still reset the connection; all others are discarded: a
    /// writer that waits for room would not wake up otherwise.
    pub(super) fn stop_reading(&self) {
        if let Self::Socket(socket) = self {
            socket.close_read();
            unread::discard(socket, Keep::Last);
        }
    }

    /// Waits until a close would reset the connection, since input is unread. `false` where nothing more
    /// can come, or where it is no UNIX socket.
    pub(super) fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Socket(socket) if socket.kind != SocketKind::Network => socket.poll_unread(cx),
            _ => Poll::Ready(false),
        }
    }

    /// Closes it in good order when it is dropped.
    pub(super) fn end_cleanly(&mut self, is_read_closed: bool) {
        if let Self::Socket(socket) = self {
            socket.end_cleanly();
            if is_read_closed {
                unread::discard(socket, Keep::Nothing);
            }
        }
    }
}

fn poll_write_other(
    io: &mut Box<dyn Duplex>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<Result<usize, SendError>> {
    Poll::Ready(match ready!(Pin::new(io).poll_write(cx, bytes)) {
        // It takes no more.
        Ok(0) if !bytes.is_empty() => Err(io::Error::from(io::ErrorKind::WriteZero).into()),
        sent => sent.map_err(SendError::Io),
    })
}

/// What a failed send means.
pub(super) enum SendFailure {
    /// The reader takes no more, and may still write.
    Closed,
    /// The reader has gone.
    Gone,
    /// The reader refuses the fds.
    FdsRefused,
    Fatal(RelayFailure),
}
