//! [`Channel`]: what is talked through.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{Shutdown, shutdown};
use sockeye::Kind;
use sockeye::ancillary::{RecvError, SendError, recv_with, send_with};

/// A connected socket that blocks, of any kind. A duplicate: the address that the socket may own is
/// given up by whoever has that, whatever the sending thread does.
pub(super) struct Channel {
    socket: OwnedFd,
    kind: Kind,
}

impl Channel {
    pub(super) fn of(socket: impl AsFd, kind: Kind) -> io::Result<Self> {
        let socket = socket.as_fd().try_clone_to_owned()?;
        Ok(Self { socket, kind })
    }

    /// Whether what is sent keeps its boundaries.
    pub(super) fn has_records(&self) -> bool {
        self.kind != Kind::Stream
    }

    pub(super) fn send(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        send_with(self, bytes, descriptors)
    }

    /// `None` at the end.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        Ok(recv_with(self, buffer)?.map(|received| received.bytes))
    }

    /// After sending: tells the peer that no more comes, or ourselves that no answer will.
    pub(super) fn sent(&self, result: &Result<(), SendError>, half_close: bool) {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        let end = match (result, self.kind) {
            (Ok(()), _) if half_close => Shutdown::Write,
            (Ok(()), _) => return,
            // The peer has ended the connection, and may have answered before.
            (Err(SendError::Io(error)), Kind::Stream | Kind::SeqPacket)
                if matches!(error.kind(), BrokenPipe | ConnectionReset) =>
            {
                return;
            }
            // The peer knows nothing of this, and would be waited for.
            (Err(_), _) => Shutdown::Read,
        };
        // It fails where the peer has gone, which is told otherwise.
        let _ = shutdown(self, end);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
