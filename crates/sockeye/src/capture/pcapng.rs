//! The numbers of pcap-ng (draft-ietf-opsawg-pcapng) and of its link types (pcap-linktype(7)).

/// The first block of each section. Its type reads the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
/// Before the enhanced packet block; old files have it.
pub(super) const OBSOLETE_PACKET: u32 = 2;
/// Without a time and without an interface.
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
/// What did not fit into the packet block before it. Types from 0x80000000 are for local use, and who
/// does not know them skips them.
pub(super) const RECORD_CONTINUATION: u32 = 0x8053_6f63;

/// Tells the byte order of a section.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type, length, and the length again at the end.
pub(super) const BLOCK_OVERHEAD: usize = 12;

pub(super) const OPTION_END: u16 = 0;
pub(super) const OPTION_COMMENT: u16 = 1;
pub(super) const SECTION_APPLICATION: u16 = 4;
pub(super) const INTERFACE_NAME: u16 = 2;
pub(super) const INTERFACE_RESOLUTION: u16 = 9;
pub(super) const INTERFACE_OFFSET: u16 = 14;
pub(super) const PACKET_FLAGS: u16 = 2;
pub(super) const STATISTICS_DROPPED: u16 = 5;

/// The two bits of a packet's flags that tell its direction.
pub(super) const FLAGS_INBOUND: u32 = 1;
pub(super) const FLAGS_OUTBOUND: u32 = 2;

/// IPv4 without anything in front.
pub(super) const LINK_IPV4: u16 = 228;
/// IPv4 or IPv6 without anything in front.
pub(super) const LINK_RAW: u16 = 101;
/// A payload behind tags that say how to dissect it.
pub(super) const LINK_EXPORTED_PDU: u16 = 252;

/// How many bytes follow `length` bytes, so that the next ones begin at a multiple of four.
pub(super) const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
