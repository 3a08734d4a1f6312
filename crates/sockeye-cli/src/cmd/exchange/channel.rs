//! [`Channel`]: a connected, blocking socket of any kind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, Shutdown, SocketType, shutdown};
use sockeye::Kind;
use sockeye::ancillary::{RecvError, SendError, recv_msg, send_msg};
use sockeye::packet::BlockingSeqPacket;

use super::pieces::{Piece, receive_pieces};
use crate::cmd::send_buffer::make_room;

/// A duplicate: whoever has the socket itself releases the address that it owns, whatever the sending
/// thread does.
pub(super) struct Channel {
    socket: OwnedFd,
    kind: Kind,
    /// Fds stay with the byte that they came with.
    is_relay: bool,
    /// Whether anything was sent that could be answered.
    has_sent: AtomicBool,
}

impl Channel {
    pub(super) fn of(socket: impl AsFd, kind: Kind) -> io::Result<Self> {
        let socket = socket.as_fd().try_clone_to_owned()?;
        Ok(Self {
            socket,
            kind,
            is_relay: false,
            has_sent: AtomicBool::new(false),
        })
    }

    /// Of an inherited fd, if that is a connected UNIX socket. Not of datagrams: these have no EOF.
    pub(super) fn of_inherited(fd: BorrowedFd<'_>) -> Option<Self> {
        if socket_domain(fd).ok()? != AddressFamily::UNIX {
            return None;
        }
        let kind = match socket_type(fd).ok()? {
            SocketType::STREAM => Kind::Stream,
            // Adopted, so that an empty record is not taken for EOF.
            SocketType::SEQPACKET => {
                BlockingSeqPacket::adopt(fd.try_clone_to_owned().ok()?).ok()?;
                Kind::SeqPacket
            }
            _ => return None,
        };
        rustix::io::ioctl_fionbio(fd, false).ok()?;
        Some(Self::of(fd, kind).ok()?.relaying())
    }

    /// Keeps fds with the byte that they came with.
    pub(super) fn relaying(self) -> Self {
        Self {
            is_relay: true,
            ..self
        }
    }

    /// Whether messages keep their boundaries.
    pub(super) fn has_records(&self) -> bool {
        self.kind != Kind::Stream
    }

    /// Sends all of it, after raising `SO_SNDBUF` for a large record, as far as the kernel lets us
    /// (`net.core.wmem_max`).
    pub(super) fn send(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        if !bytes.is_empty() || self.has_records() {
            self.has_sent.store(true, Ordering::Relaxed);
        }
        match send_msg(self, bytes, descriptors) {
            Err(SendError::TooLong { size, .. }) => {
                make_room(self, size);
                send_msg(self, bytes, descriptors)
            }
            sent => sent,
        }
    }

    pub(super) fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }

    /// What has come; `None` at EOF.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<Vec<Piece>>, RecvError> {
        if self.is_relay && self.kind == Kind::Stream {
            return receive_pieces(self, buffer.len());
        }
        Ok(recv_msg(self, buffer)?.map(|received| {
            vec![Piece {
                bytes: buffer[..received.bytes].to_vec(),
                descriptors: received.descriptors,
            }]
        }))
    }

    /// After sending: half-closes, or ends the reading where no answer will come.
    pub(super) fn sent(&self, result: &Result<(), Unsent>, half_close: bool) {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        let end = match (result, self.kind) {
            (Ok(()), _) if half_close => Shutdown::Write,
            (Ok(()), _) => return,
            // The peer has ended the connection, and may have answered before.
            (Err(Unsent::Output(SendError::Io(error))), Kind::Stream | Kind::SeqPacket)
                if matches!(error.kind(), BrokenPipe | ConnectionReset) =>
            {
                return;
            }
            // The peer does not know, and would wait for more.
            (Err(_), _) => Shutdown::Read,
        };
        self.end(end);
    }

    /// Shuts down a direction.
    pub(super) fn end(&self, direction: Shutdown) {
        // It fails if the peer is gone, which the next call reports.
        let _ = shutdown(self, direction);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why not all of the input was sent.
pub(super) enum Unsent {
    /// Standard input could not be read.
    Input(io::Error),
    Output(SendError),
}

impl From<SendError> for Unsent {
    fn from(error: SendError) -> Self {
        Self::Output(error)
    }
}
