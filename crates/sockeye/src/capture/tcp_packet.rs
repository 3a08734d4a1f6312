//! [`TcpPacket`]: an IPv4 packet with a TCP segment.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::segment::{ACK, FIN, RST, SYN};

const TCP: u8 = 6;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// A TCP segment of a recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct TcpPacket {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) sequence: u32,
    pub(super) acknowledged: Option<u32>,
    flags: u8,
    /// Where the payload begins in the packet.
    pub(super) payload: usize,
    /// How many bytes of the payload are there.
    pub(super) captured: u32,
    /// How many it had.
    pub(super) length: u32,
}

impl TcpPacket {
    /// `None` for anything else, and where not even the headers are there. `original` is the size of the
    /// packet, of which `data` may be a part.
    pub(super) fn parse(data: &[u8], original: u32) -> Option<Self> {
        let [total, fragment] = [2, 6].map(|at| u16_at(data, at));
        let ip_header = usize::from(data.first()? & 0x0f) * 4;
        let is_fragment = fragment? & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0;
        if data[0] >> 4 != 4 || ip_header < 20 || *data.get(9)? != TCP || is_fragment {
            return None;
        }
        // 0 where the network card has split a larger packet (TSO).
        let total = match total? {
            0 => original as usize,
            total => usize::from(total),
        };
        let tcp = data.get(ip_header..)?;
        let tcp_header = usize::from(tcp.get(12)? >> 4) * 4;
        let payload = ip_header + tcp_header;
        if tcp_header < 20 || payload > data.len().min(total) {
            return None;
        }
        let address = |at| Some(Ipv4Addr::from_bits(u32_at(data, at)?));
        let flags = tcp[13];
        Some(Self {
            from: SocketAddrV4::new(address(12)?, u16_at(tcp, 0)?),
            to: SocketAddrV4::new(address(16)?, u16_at(tcp, 2)?),
            sequence: u32_at(tcp, 4)?,
            acknowledged: u32_at(tcp, 8).filter(|_| flags & ACK != 0),
            flags,
            payload,
            captured: (data.len().min(total) - payload) as u32,
            length: (total - payload) as u32,
        })
    }

    pub(super) fn is_syn(&self) -> bool {
        self.flags & SYN != 0
    }

    pub(super) fn is_fin(&self) -> bool {
        self.flags & FIN != 0
    }

    pub(super) fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
