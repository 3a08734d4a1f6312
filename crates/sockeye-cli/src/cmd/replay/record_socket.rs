//! [`RecordSocket`]: a connected seqpacket or datagram socket.

use sockeye::ancillary::{RecvError, SendError, close_in_background};
use sockeye::{Datagram, SeqPacket, Shutdown};

use crate::cmd::send_buffer::make_room;

pub(super) enum RecordSocket {
    SeqPacket(SeqPacket),
    Datagram(Box<Datagram>),
}

impl RecordSocket {
    /// Sees to it that so long a record can be sent.
    pub(super) fn make_room(&self, bytes: usize) {
        match self {
            Self::SeqPacket(socket) => make_room(socket, bytes),
            Self::Datagram(socket) => make_room(socket, bytes),
        }
    }

    /// Dropping the future has sent nothing.
    pub(super) async fn send(&self, record: &[u8]) -> Result<(), SendError> {
        match self {
            Self::SeqPacket(socket) => socket.send(record).await,
            Self::Datagram(socket) => socket.send_msg(record, &[]).await,
        }
    }

    /// `None` at EOF. Dropping the future loses nothing.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        match self {
            Self::SeqPacket(socket) => socket.recv(buffer).await,
            Self::Datagram(socket) => {
                let received = socket.recv_msg(buffer).await?;
                close_in_background(received.descriptors);
                Ok(Some(received.bytes))
            }
        }
    }

    /// A sender of datagrams has no EOF to send.
    pub(super) fn half_close(&self) {
        if let Self::SeqPacket(socket) = self {
            // It fails where the server has closed.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }
}
