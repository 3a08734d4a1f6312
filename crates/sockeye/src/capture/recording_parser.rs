//! Reads a whole recording, but for the bytes of its connections.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::assembly::{Assembled, Assembly};
use super::block_reader::{AtOffset, BlockReader};
use super::error::RecordingErrorKind;
use super::packet_reader::{HeldPacket, RecordedItem, RecordedPacket, read_packets};
use super::pcapng::LINK_EXPORTED_PDU;
use super::pdu::PduTags;
#[cfg(fuzzing)]
use super::recorded::RecordedPart;

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

/// Reads bytes as a file, and checks that what it finds lies inside of them.
#[cfg(fuzzing)]
pub(crate) fn check_recording(bytes: &[u8]) {
    let Ok(parsed) = parse(std::io::Cursor::new(bytes), bytes.len() as u64) else {
        return;
    };
    assert!(parsed.end <= bytes.len() as u64);
    for connection in &parsed.assembled.connections {
        assert!(connection.events().is_sorted_by_key(|event| event.time));
        for event in connection.events() {
            let (RecordedPart::Bytes(location) | RecordedPart::Record(location)) = &event.what
            else {
                continue;
            };
            let whole = vec![(location.offset, location.length)];
            let parts = parsed.long_records.get(&location.offset).unwrap_or(&whole);
            let size: u64 = parts.iter().map(|&(_, size)| u64::from(size)).sum();
            assert_eq!(size, u64::from(location.length));
            for (offset, size) in parts {
                assert!(offset + u64::from(*size) <= bytes.len() as u64);
            }
        }
    }
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
