//! [`BlockReader`]: the blocks of a pcap-ng file, each whole.

use std::io::{self, Read, Seek};

use super::byte_order::ByteOrder;
use super::error::RecordingErrorKind;
use super::pcapng::{
    BLOCK_OVERHEAD, BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OBSOLETE_PACKET,
    RECORD_CONTINUATION, SECTION_HEADER, SIMPLE_PACKET,
};

/// The largest block that is read into memory. Wireshark takes 256 KiB for our link types.
const MOST_READ: u64 = 1 << 20;
/// The largest block that is skipped. Wireshark writes at most 128 MiB; a larger length is no length.
const MOST_SKIPPED: u64 = 256 << 20;

const PCAP_MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
];
/// gzip, zstd, LZ4, xz.
const COMPRESSED: [&[u8]; 4] = [
    &[0x1f, 0x8b],
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0x04, 0x22, 0x4d, 0x18],
    &[0xfd, 0x37, 0x7a, 0x58],
];

/// A whole block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) kind: u32,
    /// Where `body` begins in the file.
    pub(super) body_offset: u64,
    /// What is between the lengths; nothing for kinds that are not read.
    pub(super) body: &'a [u8],
    pub(super) order: ByteOrder,
}

/// What is wrong, with the block that begins at this offset.
pub(super) type AtOffset = (u64, RecordingErrorKind);

/// Reads the blocks of a file.
#[derive(Debug)]
pub(super) struct BlockReader<R> {
    input: R,
    size: u64,
    /// Where the next block begins.
    offset: u64,
    order: ByteOrder,
    body: Vec<u8>,
}

impl<R: Read + Seek> BlockReader<R> {
    /// Reads `input` from its beginning, as far as `size`.
    pub(super) fn new(input: R, size: u64) -> Self {
        Self {
            input,
            size,
            offset: 0,
            order: ByteOrder::default(),
            body: Vec::new(),
        }
    }

    /// Where the last whole block has ended.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block; `None` where none is whole any more.
    pub(super) fn next(&mut self) -> Result<Option<Block<'_>>, AtOffset> {
        let offset = self.offset;
        match self.read() {
            Ok(None) => Ok(None),
            Ok(Some(kind)) => Ok(Some(Block {
                kind,
                body_offset: offset + 8,
                body: &self.body,
                order: self.order,
            })),
            // The file has become shorter.
            Err(RecordingErrorKind::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(None)
            }
            Err(error) => Err((offset, error)),
        }
    }

    /// Reads a block into `body`, and returns its kind.
    fn read(&mut self) -> Result<Option<u32>, RecordingErrorKind> {
        let left = self.size.saturating_sub(self.offset);
        if self.offset == 0 && left > 0 {
            self.check_start(left)?;
        }
        if left < BLOCK_OVERHEAD as u64 {
            return Ok(None);
        }
        let mut head = [0; BLOCK_OVERHEAD];
        self.input.read_exact(&mut head)?;
        let [kind, length, magic] = [0, 4, 8].map(|at| self.order.u32(&head, at).unwrap_or(0));
        let (mut length, mut magic) = (length, magic);
        if kind == SECTION_HEADER && magic.swap_bytes() == BYTE_ORDER_MAGIC {
            self.order = self.order.swapped();
            (length, magic) = (length.swap_bytes(), magic.swap_bytes());
        }
        if kind == SECTION_HEADER && magic != BYTE_ORDER_MAGIC {
            return Err(RecordingErrorKind::Malformed(
                "a section without its byte-order magic",
            ));
        }
        let length = u64::from(length);
        if length < BLOCK_OVERHEAD as u64 || length % 4 != 0 {
            return Err(RecordingErrorKind::Malformed("a length that no block has"));
        }
        let is_read = is_read(kind);
        let limit = if is_read { MOST_READ } else { MOST_SKIPPED };
        if length > limit {
            return Err(RecordingErrorKind::TooLarge {
                what: "a block",
                found: length,
                limit,
            });
        }
        if length > left {
            return Ok(None);
        }
        self.read_body(&head, length as usize, is_read)?;
        self.offset += length;
        Ok(Some(kind))
    }

    /// The last four bytes of `head` are the first ones of the body, or the length at the end.
    fn read_body(
        &mut self,
        head: &[u8; BLOCK_OVERHEAD],
        length: usize,
        is_read: bool,
    ) -> Result<(), RecordingErrorKind> {
        self.body.clear();
        let mut tail: [u8; 4] = [head[8], head[9], head[10], head[11]];
        if length > BLOCK_OVERHEAD {
            let rest = length - BLOCK_OVERHEAD;
            if is_read {
                self.body.extend_from_slice(&tail);
                self.body.resize(rest, 0);
                let body = self.body.get_mut(4..).unwrap_or_default();
                self.input.read_exact(body)?;
            } else {
                self.input.seek_relative(rest as i64 - 4)?;
            }
            self.input.read_exact(&mut tail)?;
        }
        if self.order.u32(&tail, 0) != Some(length as u32) {
            return Err(RecordingErrorKind::Malformed(
                "its length is another one at its end",
            ));
        }
        Ok(())
    }

    /// Says what a file is that is no pcap-ng file.
    fn check_start(&mut self, left: u64) -> Result<(), RecordingErrorKind> {
        let mut start = [0; 4];
        let known = &mut start[..left.min(4) as usize];
        self.input.read_exact(known)?;
        self.input.seek_relative(-(known.len() as i64))?;
        let known = &*known;
        let expected = SECTION_HEADER.to_be_bytes();
        if expected.starts_with(known) {
            return Ok(());
        }
        if PCAP_MAGICS.iter().any(|magic| magic == known) {
            return Err(RecordingErrorKind::OldPcap);
        }
        if COMPRESSED.iter().any(|magic| known.starts_with(magic)) {
            return Err(RecordingErrorKind::Compressed);
        }
        Err(RecordingErrorKind::NotPcapng(known.to_vec()))
    }
}

fn is_read(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER
            | INTERFACE_DESCRIPTION
            | OBSOLETE_PACKET
            | SIMPLE_PACKET
            | ENHANCED_PACKET
            | RECORD_CONTINUATION
    )
}
