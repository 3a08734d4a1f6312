//! [`Channel`]: what can be talked through.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::Shutdown;
use sockeye::ancillary::{RecvError, SendError, recv_with, send_with};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacket};

/// A connected socket that blocks.
pub(crate) trait Channel: AsFd + Send + Sync + 'static {
    /// Whether what is sent keeps its boundaries.
    const RECORDS: bool;

    /// Tells the peer that no more comes.
    fn half_close(&self);

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        send_with(self, bytes, descriptors)
    }

    /// `None` at the end.
    fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        Ok(recv_with(self, buffer)?.map(|received| received.bytes))
    }
}

impl Channel for UnixStream {
    const RECORDS: bool = false;

    fn half_close(&self) {
        // It fails where the peer has gone, which is told otherwise.
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl Channel for BlockingSeqPacket {
    const RECORDS: bool = true;

    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Channel for BlockingDatagram {
    const RECORDS: bool = true;

    /// There is no connection that could end.
    fn half_close(&self) {}
}
