//! [`BlockBuffer`]: whole pcap-ng blocks that wait to be written.

use std::io::IoSlice;

use bytes::Bytes;

use super::direction::{self, Stamp};
use super::pcapng::{
    BLOCK_OVERHEAD, BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, INTERFACE_NAME,
    INTERFACE_RESOLUTION, INTERFACE_STATISTICS, OPTION_COMMENT, OPTION_END, PACKET_FLAGS,
    RECORD_CONTINUATION, SECTION_APPLICATION, SECTION_HEADER, STATISTICS_DROPPED, padding,
};

/// Shorter payloads are copied: an entry of writev(2) costs more.
const COPIED: usize = 4 << 10;

/// An enhanced packet block without its headers and payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) stamp: Stamp,
    /// The size of a payload that is only partly in the block.
    pub(super) original: usize,
    pub(super) comment: Option<&'a str>,
}

/// Whole blocks: their headers, and payloads that are not copied.
#[derive(Debug, Default)]
pub(super) struct BlockBuffer {
    bytes: Vec<u8>,
    /// Each with the place in `bytes` in front of which it belongs.
    payloads: Vec<(usize, Bytes)>,
    payload_bytes: usize,
    /// Where each block ends, counted with the payloads.
    ends: Vec<usize>,
}

impl BlockBuffer {
    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.payload_bytes
    }

    /// How many parts a writev(2) of it has.
    pub(super) fn parts(&self) -> usize {
        2 * self.payloads.len() + 1
    }

    /// Where each block ends.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.payloads.clear();
        self.payload_bytes = 0;
        self.ends.clear();
    }

    /// All bytes from the one at `from` on.
    pub(super) fn slices(&self, from: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.parts());
        let mut written = 0;
        for (at, payload) in &self.payloads {
            slices.push(&self.bytes[written..*at]);
            slices.push(payload);
            written = *at;
        }
        slices.push(&self.bytes[written..]);
        let mut skipped = from;
        let rest = slices.into_iter().filter_map(|slice| {
            let skip = skipped.min(slice.len());
            skipped -= skip;
            (skip < slice.len()).then(|| IoSlice::new(&slice[skip..]))
        });
        rest.collect()
    }

    /// The header of the one section.
    pub(super) fn section(&mut self, application: &str) {
        self.block(SECTION_HEADER, |bytes| {
            bytes.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            bytes.extend_from_slice(&[1, 0, 0, 0]); // version 1.0
            bytes.extend_from_slice(&u64::MAX.to_le_bytes()); // length unknown
            option(bytes, SECTION_APPLICATION, application.as_bytes());
            option(bytes, OPTION_END, &[]);
        });
    }

    /// An interface whose times are nanoseconds.
    pub(super) fn interface(&mut self, link: u16, name: &str) {
        self.block(INTERFACE_DESCRIPTION, |bytes| {
            bytes.extend_from_slice(&link.to_le_bytes());
            bytes.extend_from_slice(&[0; 6]); // reserved; packets of any size
            option(bytes, INTERFACE_NAME, name.as_bytes());
            option(bytes, INTERFACE_RESOLUTION, &[9]);
            option(bytes, OPTION_END, &[]);
        });
    }

    /// How many packets of an interface are not in the file.
    pub(super) fn statistics(&mut self, interface: u32, time: u64, dropped: u64) {
        self.block(INTERFACE_STATISTICS, |bytes| {
            bytes.extend_from_slice(&interface.to_le_bytes());
            bytes.extend_from_slice(&halves(time));
            option(bytes, STATISTICS_DROPPED, &dropped.to_le_bytes());
            option(bytes, OPTION_END, &[]);
        });
    }

    /// A packet with a payload behind its headers.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, headers: &[u8], payload: &Bytes) {
        let captured = headers.len() + payload.len();
        let comment = packet.comment.map_or(0, |text| option_size(text.len()));
        let options = option_size(4) + comment + option_size(0);
        let length = BLOCK_OVERHEAD + 20 + captured + padding(captured) + options;
        let bytes = &mut self.bytes;
        let mut head = [0; 28];
        head[..4].copy_from_slice(&ENHANCED_PACKET.to_le_bytes());
        head[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        head[8..12].copy_from_slice(&packet.stamp.interface.to_le_bytes());
        head[12..20].copy_from_slice(&halves(packet.stamp.time));
        head[20..24].copy_from_slice(&(captured as u32).to_le_bytes());
        head[24..].copy_from_slice(&((headers.len() + packet.original) as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(headers);
        if payload.len() < COPIED {
            bytes.extend_from_slice(payload);
        } else {
            self.payloads.push((bytes.len(), payload.clone()));
            self.payload_bytes += payload.len();
        }
        bytes.extend_from_slice(&[0; 3][..padding(captured)]);
        if let Some(comment) = packet.comment {
            option(bytes, OPTION_COMMENT, comment.as_bytes());
        }
        let mut tail = [0; 16];
        tail[..2].copy_from_slice(&PACKET_FLAGS.to_le_bytes());
        tail[2] = 4;
        tail[4..8].copy_from_slice(&direction::flags(packet.stamp.to).to_le_bytes());
        tail[12..].copy_from_slice(&(length as u32).to_le_bytes());
        bytes.extend_from_slice(&tail);
        self.ends.push(self.len());
    }

    /// More of the payload of the packet before it.
    pub(super) fn continuation(&mut self, payload: &Bytes) {
        let padding = padding(payload.len());
        let length = (BLOCK_OVERHEAD + 4 + payload.len() + padding) as u32;
        self.bytes
            .extend_from_slice(&RECORD_CONTINUATION.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        let size = payload.len() as u32;
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.payloads.push((self.bytes.len(), payload.clone()));
        self.payload_bytes += payload.len();
        self.bytes.extend_from_slice(&[0; 3][..padding]);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.ends.push(self.len());
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        body(&mut self.bytes);
        let length = (self.bytes.len() - start + 4) as u32;
        self.bytes[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.ends.push(self.len());
    }
}

fn option(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = value.len().min(usize::from(u16::MAX));
    bytes.extend_from_slice(&code.to_le_bytes());
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(&value[..length]);
    bytes.extend_from_slice(&[0; 3][..padding(length)]);
}

fn option_size(value: usize) -> usize {
    4 + value + padding(value)
}

/// A time: its higher half first.
fn halves(time: u64) -> [u8; 8] {
    time.rotate_left(32).to_le_bytes()
}
