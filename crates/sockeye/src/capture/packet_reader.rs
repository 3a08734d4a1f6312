//! [`RecordedPacket`]: the packets of a pcap-ng file, with their times and comments.

use std::io::{Read, Seek};

use super::block_reader::{AtOffset, Block, BlockReader};
use super::byte_order::{ByteOrder, block_options};
use super::error::RecordingErrorKind;
use super::interface::RecordedInterface;
use super::pcapng::{
    ENHANCED_PACKET, INTERFACE_DESCRIPTION, OBSOLETE_PACKET, OPTION_COMMENT, PACKET_FLAGS,
    RECORD_CONTINUATION, SECTION_HEADER, SIMPLE_PACKET, padding,
};

/// The most interfaces of one section.
const MOST_INTERFACES: usize = 1 << 16;

/// A packet of a recording.
#[derive(Debug)]
pub(super) struct RecordedPacket<'a> {
    /// In nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) link: u16,
    pub(super) flags: u32,
    /// What is in the block.
    pub(super) data: &'a [u8],
    /// Where `data` begins in the file.
    pub(super) offset: u64,
    /// The size of the packet, of which `data` may be a part.
    pub(super) original: u32,
    options: &'a [u8],
    order: ByteOrder,
}

/// A packet that is kept while the file is read on.
#[derive(Debug)]
pub(super) struct HeldPacket {
    data: Vec<u8>,
    options: Vec<u8>,
    time: u64,
    link: u16,
    flags: u32,
    offset: u64,
    original: u32,
    order: ByteOrder,
}

/// What a recording consists of.
#[derive(Debug)]
pub(super) enum RecordedItem<'a> {
    Packet(RecordedPacket<'a>),
    /// More bytes of the packet before it: where, and how many.
    Continuation(u64, u32),
}

/// The state of a section.
#[derive(Debug, Default)]
struct Section {
    interfaces: Vec<RecordedInterface>,
    /// The time of the last packet: that of a simple packet, which has none.
    time: u64,
}

/// Hands over each packet of a file, and what else belongs to it.
pub(super) fn read_packets<R: Read + Seek>(
    blocks: &mut BlockReader<R>,
    mut take: impl FnMut(RecordedItem<'_>) -> Result<(), RecordingErrorKind>,
) -> Result<(), AtOffset> {
    let mut section = Section::default();
    loop {
        let offset = blocks.offset();
        let Some(block) = blocks.next()? else {
            return Ok(());
        };
        let item = section.read(&block);
        let taken = item.and_then(|item| item.map_or(Ok(()), &mut take));
        taken.map_err(|error| (offset, error))?;
    }
}

impl Section {
    /// The packet of a block, if it has one.
    fn read<'a>(
        &mut self,
        block: &Block<'a>,
    ) -> Result<Option<RecordedItem<'a>>, RecordingErrorKind> {
        match block.kind {
            SECTION_HEADER => self.interfaces.clear(),
            INTERFACE_DESCRIPTION => self.add_interface(block)?,
            ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                let packet = self.packet(block)?;
                self.time = packet.time;
                return Ok(Some(RecordedItem::Packet(packet)));
            }
            RECORD_CONTINUATION => {
                let size = block.order.u32(block.body, 0);
                let size = size.filter(|&size| size as usize <= block.body.len() - 4);
                let size = size.ok_or(RecordingErrorKind::Malformed(
                    "a continuation that is shorter than it says",
                ))?;
                let offset = block.body_offset + 4;
                return Ok(Some(RecordedItem::Continuation(offset, size)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn add_interface(&mut self, block: &Block<'_>) -> Result<(), RecordingErrorKind> {
        if self.interfaces.len() == MOST_INTERFACES {
            return Err(RecordingErrorKind::TooLarge {
                what: "a number of interfaces",
                found: MOST_INTERFACES as u64 + 1,
                limit: MOST_INTERFACES as u64,
            });
        }
        let interface = RecordedInterface::parse(block.body, block.order);
        self.interfaces
            .push(interface.ok_or(RecordingErrorKind::Malformed(
                "an interface without its link type",
            ))?);
        Ok(())
    }

    fn packet<'a>(&self, block: &Block<'a>) -> Result<RecordedPacket<'a>, RecordingErrorKind> {
        const SHORT: RecordingErrorKind =
            RecordingErrorKind::Malformed("a packet without its head");
        let (body, order) = (block.body, block.order);
        let number = |at| order.u32(body, at).ok_or(SHORT);
        let (interface, head) = match block.kind {
            SIMPLE_PACKET => (0, 4),
            OBSOLETE_PACKET => (u32::from(order.u16(body, 0).ok_or(SHORT)?), 20),
            _ => (number(0)?, 20),
        };
        let interface = self.interfaces.get(interface as usize);
        let interface = interface.ok_or(RecordingErrorKind::Malformed(
            "a packet of an interface that is not described",
        ))?;
        let (captured, original, time) = if block.kind == SIMPLE_PACKET {
            let original = number(0)?;
            let most = (body.len() - head) as u32;
            let captured = original.min(interface.snap_length).min(most);
            (captured, original, self.time)
        } else {
            let ticks = u64::from(number(4)?) << 32 | u64::from(number(8)?);
            (number(12)?, number(16)?, interface.nanoseconds(ticks))
        };
        let rest = body.get(head..).unwrap_or_default();
        let length = captured as usize;
        let data = rest.get(..length).ok_or(RecordingErrorKind::Malformed(
            "a packet that is longer than its block",
        ))?;
        let options = rest.get(length + padding(length)..).unwrap_or_default();
        let mut packet = RecordedPacket {
            time,
            link: interface.link,
            flags: 0,
            data,
            offset: block.body_offset + head as u64,
            original: original.max(captured),
            options,
            order,
        };
        packet.flags = packet.read_flags();
        Ok(packet)
    }
}

impl<'a> RecordedPacket<'a> {
    pub(super) fn comments(&self) -> impl Iterator<Item = &'a str> {
        let comments =
            block_options(self.options, self.order).filter(|(code, _)| *code == OPTION_COMMENT);
        comments.filter_map(|(_, text)| str::from_utf8(text).ok())
    }

    pub(super) fn hold(&self) -> HeldPacket {
        HeldPacket {
            data: self.data.to_vec(),
            options: self.options.to_vec(),
            time: self.time,
            link: self.link,
            flags: self.flags,
            offset: self.offset,
            original: self.original,
            order: self.order,
        }
    }

    fn read_flags(&self) -> u32 {
        let mut options = block_options(self.options, self.order);
        let flags = options.find(|(code, _)| *code == PACKET_FLAGS);
        flags
            .and_then(|(_, value)| self.order.u32(value, 0))
            .unwrap_or(0)
    }
}

impl HeldPacket {
    pub(super) fn packet(&self) -> RecordedPacket<'_> {
        RecordedPacket {
            time: self.time,
            link: self.link,
            flags: self.flags,
            data: &self.data,
            offset: self.offset,
            original: self.original,
            options: &self.options,
            order: self.order,
        }
    }
}
