//! Reads a whole recording, but for the bytes of its connections.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::assembly::{Assembled, Assembly};
use super::block_reader::{AtOffset, BlockReader};
use super::error::RecordingErrorKind;
use super::packet_reader::{HeldPacket, RecordedItem, RecordedPacket, read_packets};
use super::pcapng::LINK_EXPORTED_PDU;
use super::pdu::PduTags;

/// Where the parts of a record are that is in several blocks.
pub(super) type RecordParts = Vec<(u64, u32)>;

/// All of a file.
#[derive(Debug)]
pub(super) struct ParsedRecording {
    pub(super) assembled: Assembled,
    /// By the offset of the first part.
    pub(super) long_records: HashMap<u64, RecordParts>,
    /// Where the last whole block ends.
    pub(super) end: u64,
}

#[derive(Debug, Default)]
struct RecordingParser {
    assembly: Assembly,
    /// A record of which more may follow, and where that is.
    held: Option<(HeldPacket, RecordParts)>,
    long_records: HashMap<u64, RecordParts>,
}

/// Reads a file of this size.
pub(super) fn parse(input: impl Read + Seek, size: u64) -> Result<ParsedRecording, AtOffset> {
    let mut blocks = BlockReader::new(input, size);
    let mut parser = RecordingParser::default();
    read_packets(&mut blocks, |item| parser.take(&item))?;
    let end = blocks.offset();
    parser.release().map_err(|error| (end, error))?;
    Ok(ParsedRecording {
        assembled: parser.assembly.finish(),
        long_records: parser.long_records,
        end,
    })
}

impl RecordingParser {
    fn take(&mut self, item: &RecordedItem<'_>) -> Result<(), RecordingErrorKind> {
        match item {
            RecordedItem::Continuation(offset, size) => {
                if let Some((_, parts)) = &mut self.held {
                    parts.push((*offset, *size));
                }
                Ok(())
            }
            RecordedItem::Packet(packet) => {
                self.release()?;
                if packet.link == LINK_EXPORTED_PDU
                    && (packet.original as usize) > packet.data.len()
                {
                    self.held = Some((packet.hold(), Vec::new()));
                    return Ok(());
                }
                self.assembly.take(packet, 0)
            }
        }
    }

    /// Nothing more follows of the record that is held.
    fn release(&mut self) -> Result<(), RecordingErrorKind> {
        let Some((held, parts)) = self.held.take() else {
            return Ok(());
        };
        let packet = held.packet();
        let continued = parts
            .iter()
            .fold(0_u32, |sum, &(_, size)| sum.saturating_add(size));
        if !parts.is_empty()
            && let Some(first) = first_part(&packet)
        {
            let parts = std::iter::once(first).chain(parts).collect();
            self.long_records.insert(first.0, parts);
        }
        self.assembly.take(&packet, continued)
    }
}

/// The part of a record that is in its packet block.
fn first_part(packet: &RecordedPacket<'_>) -> Option<(u64, u32)> {
    let (_, tags) = PduTags::parse(packet.data)?;
    let size = (packet.data.len() - tags) as u32;
    Some((packet.offset + tags as u64, size))
}
