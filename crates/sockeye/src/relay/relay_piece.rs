//! [`RelayPiece`]: bytes, or a record, with the fds that came with it.

use std::os::fd::OwnedFd;

use bytes::BytesMut;
use rustix::net::UCred;

use crate::ancillary::close_in_background;
use crate::peer::Peer;

/// Bytes that were received and not sent yet; the fds belong to the first of them. Or a record.
#[derive(Default)]
pub(super) struct RelayPiece {
    pub(super) bytes: BytesMut,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) credentials: Option<UCred>,
    /// An empty record is sent, too.
    pub(super) is_record: bool,
}

impl RelayPiece {
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let mut piece = Self::default();
        piece.bytes.extend_from_slice(bytes);
        piece
    }

    pub(super) fn record(bytes: &[u8]) -> Self {
        let mut piece = Self::of_bytes(bytes);
        piece.is_record = true;
        piece
    }

    pub(super) fn with_credentials(mut self, credentials: Option<Peer>) -> Self {
        self.credentials = credentials.and_then(Peer::to_credentials);
        self
    }

    pub(super) fn with_fds(mut self, fds: Vec<OwnedFd>) -> Self {
        self.fds = fds;
        self
    }

    /// Takes the fds away, which are closed on another thread: close(2) can block.
    pub(super) fn close_fds(&mut self) {
        if !self.fds.is_empty() {
            close_in_background(std::mem::take(&mut self.fds));
        }
    }
}

impl Drop for RelayPiece {
    fn drop(&mut self) {
        self.close_fds();
    }
}
