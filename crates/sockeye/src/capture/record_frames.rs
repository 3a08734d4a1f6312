//! [`RecordFrames`]: records and datagrams, written as exported PDUs.

use std::net::SocketAddrV4;

use bytes::Bytes;

use super::block_buffer::{BlockBuffer, Packet};
use super::direction::{self, Stamp};
use super::pdu::{PduKind, PduTags};
use crate::relay::{DirectionEnd, ObservedDirection};

/// The most bytes of a record in its packet block, and in each block behind it. Wireshark takes blocks
/// of at most 256 KiB, with comments and tags.
pub(super) const MOST_IN_BLOCK: usize = (256 << 10) - 1024;

/// The state of a connection that has records.
#[derive(Debug)]
pub(super) struct RecordFrames {
    /// The client's address and the server's.
    sides: [SocketAddrV4; 2],
    /// How many records were sent, by [`direction::index`].
    sent: [u32; 2],
    has_ended: [bool; 2],
    is_reset: bool,
}

impl RecordFrames {
    pub(super) fn new(client: SocketAddrV4, server: SocketAddrV4) -> Self {
        Self {
            sides: [client, server],
            sent: [0; 2],
            has_ended: [false; 2],
            is_reset: false,
        }
    }

    /// A frame without a record, with a comment.
    pub(super) fn begin(&self, out: &mut BlockBuffer, stamp: Stamp, comment: &str) {
        self.frame(out, stamp, PduKind::Begin, "", &Bytes::new(), Some(comment));
    }

    /// One record: one frame, whose payload goes on in further blocks where it is large.
    pub(super) fn record(
        &mut self,
        out: &mut BlockBuffer,
        stamp: Stamp,
        dissector: &str,
        bytes: &Bytes,
        comment: Option<&str>,
    ) {
        let sent = &mut self.sent[direction::index(stamp.to)];
        *sent = sent.wrapping_add(1);
        let kind = PduKind::Record(Some(*sent));
        self.frame(out, stamp, kind, dissector, bytes, comment);
    }

    /// Records that are not in the file: the numbers of the records show the hole.
    pub(super) fn missed(&mut self, to: ObservedDirection, records: u64) {
        let sent = &mut self.sent[direction::index(to)];
        *sent = sent.wrapping_add(records as u32);
    }

    /// A direction has ended. Returns whether the connection has.
    pub(super) fn end(&mut self, out: &mut BlockBuffer, stamp: Stamp, end: DirectionEnd) -> bool {
        let n = direction::index(stamp.to);
        let (stamp, kind) = match end {
            DirectionEnd::Eof | DirectionEnd::ReaderClosed => (stamp, PduKind::End),
            // As for streams: the reader has ended its own direction before it has gone.
            DirectionEnd::ReaderGone if self.has_ended[1 - n] => (stamp, PduKind::End),
            DirectionEnd::ReaderGone => (stamp.reversed(), PduKind::Reset),
            DirectionEnd::Reset | DirectionEnd::Aborted => (stamp, PduKind::Reset),
        };
        if !self.is_reset {
            self.is_reset = kind == PduKind::Reset;
            self.frame(out, stamp, kind, "", &Bytes::new(), None);
        }
        let is_new = !std::mem::replace(&mut self.has_ended[n], true);
        is_new && self.has_ended == [true; 2]
    }

    fn frame(
        &self,
        out: &mut BlockBuffer,
        stamp: Stamp,
        kind: PduKind,
        dissector: &str,
        bytes: &Bytes,
        comment: Option<&str>,
    ) {
        let from = direction::index(stamp.to);
        let tags = PduTags {
            from: self.sides[from],
            to: self.sides[1 - from],
            kind,
        };
        let packet = Packet {
            stamp,
            original: bytes.len(),
            comment,
        };
        let mut headers = Vec::with_capacity(96);
        tags.write(dissector, &mut headers);
        let mut rest = bytes.clone();
        let first = rest.split_to(rest.len().min(MOST_IN_BLOCK));
        out.packet(&packet, &headers, &first);
        while !rest.is_empty() {
            out.continuation(&rest.split_to(rest.len().min(MOST_IN_BLOCK)));
        }
    }
}
