//! [`StreamFrames`]: a stream, written as a TCP connection over IPv4.

use std::net::SocketAddrV4;

use bytes::Bytes;

use super::block_buffer::{BlockBuffer, Packet};
use super::comment::READER_GONE;
use super::direction::{self, Batch, Stamp};
use super::segment::{ACK, FIN, MOST_PAYLOAD, PSH, RST, SYN, Segment};
use crate::relay::{DirectionEnd, ObservedDirection};

/// The sequence number of each SYN. Not 0, which some tools take for none.
const INITIAL_SEQUENCE: u32 = 1000;

/// After so many segments or bytes in one direction the other one acknowledges them. The window has
/// 1 GiB, and Wireshark keeps a list of what is not acknowledged.
const MOST_UNACKNOWLEDGED: (u32, u32) = (64, 16 << 20);

/// Sequence numbers show a hole of at most this size. One over 2 GiB would look like bytes that come again.
const MOST_HOLE: u64 = 1 << 30;

/// What one side of a connection has sent.
#[derive(Debug, Clone, Copy)]
struct SentBytes {
    /// The sequence number of the next byte.
    next: u32,
    /// Up to where the other side has acknowledged it.
    acknowledged: u32,
    /// How many segments it has not.
    segments: u32,
    /// Whether it has sent FIN.
    is_finished: bool,
    /// The batch of its last bytes.
    batch: Batch,
    /// The bytes that may be missing in the file in front of the next ones.
    unwritten: u64,
}

/// The state of a TCP connection that stands for a stream.
#[derive(Debug)]
pub(super) struct StreamFrames {
    /// The client's address and the server's.
    sides: [SocketAddrV4; 2],
    /// By [`direction::index`].
    sent: [SentBytes; 2],
    has_ended: [bool; 2],
    is_reset: bool,
}

impl StreamFrames {
    pub(super) fn new(client: SocketAddrV4, server: SocketAddrV4) -> Self {
        let sent = SentBytes {
            next: INITIAL_SEQUENCE + 1,
            acknowledged: INITIAL_SEQUENCE + 1,
            segments: 0,
            is_finished: false,
            batch: Batch::default(),
            unwritten: 0,
        };
        Self {
            sides: [client, server],
            sent: [sent; 2],
            has_ended: [false; 2],
            is_reset: false,
        }
    }

    /// The three frames of a handshake, the first one with a comment.
    pub(super) fn begin(&mut self, out: &mut BlockBuffer, stamp: Stamp, comment: &str) {
        for sent in &mut self.sent {
            sent.next = INITIAL_SEQUENCE;
            sent.acknowledged = 0;
        }
        self.frame(out, stamp, SYN, &Bytes::new(), Some(comment));
        self.sent[0].next += 1;
        self.control(out, stamp.reversed(), SYN | ACK);
        self.sent[1].next += 1;
        self.control(out, stamp, ACK);
    }

    /// The bytes of one read.
    pub(super) fn piece(
        &mut self,
        out: &mut BlockBuffer,
        stamp: Stamp,
        bytes: &Bytes,
        mut comment: Option<&str>,
    ) {
        self.sent[direction::index(stamp.to)].enter(stamp.batch);
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let payload = rest.split_to(rest.len().min(MOST_PAYLOAD));
            let push = if rest.is_empty() { PSH } else { 0 };
            let sent = &self.sent[direction::index(stamp.to)];
            let filled = sent.next.wrapping_sub(INITIAL_SEQUENCE + 1) as usize + payload.len();
            // The client has shown its own with the third frame.
            let is_first = stamp.to == ObservedDirection::ToTarget
                && sent.acknowledged == INITIAL_SEQUENCE + 1;
            if is_first && filled >= usize::from(u16::MAX) {
                // The window of the server's SYN is not scaled, and would be full; this shows the whole one.
                self.control(out, stamp.reversed(), ACK);
            }
            self.frame(out, stamp, ACK | push, &payload, comment.take());
            let sent = &mut self.sent[direction::index(stamp.to)];
            sent.advance(payload.len() as u64);
            sent.segments += 1;
            let unacknowledged = sent.next.wrapping_sub(sent.acknowledged);
            let (segments, size) = MOST_UNACKNOWLEDGED;
            if sent.segments >= segments || unacknowledged >= size {
                self.control(out, stamp.reversed(), ACK);
            }
        }
    }

    /// Bytes that are not recorded: the sequence numbers show the hole.
    pub(super) fn missed(&mut self, to: ObservedDirection, bytes: u64) {
        let sent = &mut self.sent[direction::index(to)];
        sent.advance(bytes.min(MOST_HOLE.saturating_sub(sent.unwritten)));
    }

    /// A direction has ended. Returns whether the connection has.
    pub(super) fn end(&mut self, out: &mut BlockBuffer, stamp: Stamp, end: DirectionEnd) -> bool {
        match end {
            // The reader takes no more, and so the writer cannot send more: it is as if it had ended.
            DirectionEnd::Eof | DirectionEnd::ReaderClosed => self.finish(out, stamp, None),
            // A reader that has sent EOF before it was closed has gone in good order, and the relay closes
            // the writer, too.
            DirectionEnd::ReaderGone if self.has_finished(direction::opposite(stamp.to)) => {
                self.finish(out, stamp, Some(READER_GONE));
            }
            DirectionEnd::ReaderGone => self.reset(out, stamp.reversed()),
            DirectionEnd::Reset | DirectionEnd::Aborted => self.reset(out, stamp),
        }
        let is_new = !std::mem::replace(&mut self.has_ended[direction::index(stamp.to)], true);
        is_new && self.has_ended == [true; 2]
    }

    fn has_finished(&self, to: ObservedDirection) -> bool {
        self.sent[direction::index(to)].is_finished
    }

    fn finish(&mut self, out: &mut BlockBuffer, stamp: Stamp, comment: Option<&str>) {
        let sent = &self.sent[direction::index(stamp.to)];
        if self.is_reset || sent.is_finished {
            return;
        }
        self.sent[direction::index(stamp.to)].enter(stamp.batch);
        self.frame(out, stamp, FIN | ACK, &Bytes::new(), comment);
        let sent = &mut self.sent[direction::index(stamp.to)];
        sent.next = sent.next.wrapping_add(1);
        sent.is_finished = true;
        self.control(out, stamp.reversed(), ACK);
    }

    fn reset(&mut self, out: &mut BlockBuffer, stamp: Stamp) {
        let are_finished = self.sent.iter().all(|sent| sent.is_finished);
        if !self.is_reset && !are_finished {
            self.is_reset = true;
            self.control(out, stamp, RST | ACK);
        }
    }

    fn control(&mut self, out: &mut BlockBuffer, stamp: Stamp, flags: u8) {
        self.frame(out, stamp, flags, &Bytes::new(), None);
    }

    fn frame(
        &mut self,
        out: &mut BlockBuffer,
        stamp: Stamp,
        flags: u8,
        payload: &Bytes,
        comment: Option<&str>,
    ) {
        let from = direction::index(stamp.to);
        let at = 1 - from;
        let received = &mut self.sent[at];
        let is_first = flags & (SYN | ACK) == SYN;
        if !is_first {
            (received.acknowledged, received.segments) = (received.next, 0);
        }
        let segment = Segment {
            from: self.sides[from],
            to: self.sides[at],
            sequence: self.sent[from].next,
            acknowledged: if is_first { 0 } else { self.sent[at].next },
            flags,
        };
        let packet = Packet {
            stamp,
            original: payload.len(),
            comment,
        };
        out.packet(&packet, segment.headers(payload.len()).as_bytes(), payload);
    }
}

impl SentBytes {
    /// What follows is written with this batch.
    fn enter(&mut self, batch: Batch) {
        if self.batch.written != batch.written {
            self.unwritten = 0;
        } else if self.batch.number != batch.number {
            let excess = self.unwritten.saturating_sub(MOST_HOLE);
            self.next = self.next.wrapping_sub(excess as u32);
            self.unwritten -= excess;
        }
        self.batch = batch;
    }

    fn advance(&mut self, bytes: u64) {
        self.next = self.next.wrapping_add(bytes as u32);
        self.unwritten = self.unwritten.saturating_add(bytes);
    }
}
