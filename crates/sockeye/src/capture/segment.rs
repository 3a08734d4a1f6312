//! [`Segment`]: a TCP segment that a recorder writes.

use std::net::SocketAddrV4;

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const SYN_OPTIONS: [u8; 8] = [
    2,
    4,
    0xff,
    0xd7, // MSS 65495
    1,
    3,
    3,
    WINDOW_SCALE,
];
/// The largest (RFC 7323): the window is 1 GiB.
const WINDOW_SCALE: u8 = 14;
const WINDOW: u16 = u16::MAX;

/// The most bytes that one segment carries: an IPv4 packet has at most 65535.
pub(super) const MOST_PAYLOAD: usize = 65_535 - IP_HEADER - TCP_HEADER;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// The headers of one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
}

/// An IPv4 and a TCP header.
pub(super) struct SegmentHeaders {
    bytes: [u8; IP_HEADER + TCP_HEADER + SYN_OPTIONS.len()],
    length: usize,
}

impl Segment {
    /// Its headers in front of at most [`MOST_PAYLOAD`] bytes.
    pub(super) fn headers(&self, payload: usize) -> SegmentHeaders {
        let is_syn = self.flags & SYN != 0;
        let length = IP_HEADER + TCP_HEADER + if is_syn { SYN_OPTIONS.len() } else { 0 };
        let mut bytes = [0; IP_HEADER + TCP_HEADER + SYN_OPTIONS.len()];
        self.write_ip(&mut bytes[..IP_HEADER], (length + payload) as u16);
        self.write_tcp(&mut bytes[IP_HEADER..], length - IP_HEADER);
        SegmentHeaders { bytes, length }
    }

    fn write_ip(&self, ip: &mut [u8], total: u16) {
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[6] = 0x40; // do not fragment
        ip[8] = 64;
        ip[9] = 6;
        ip[12..16].copy_from_slice(&self.from.ip().octets());
        ip[16..20].copy_from_slice(&self.to.ip().octets());
        let checksum = checksum(ip);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The checksum stays 0: it would cost a pass over the payload, and Wireshark does not look at it
    /// unless asked to.
    fn write_tcp(&self, tcp: &mut [u8], length: usize) {
        tcp[..2].copy_from_slice(&self.from.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&self.to.port().to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledged.to_be_bytes());
        tcp[12] = (length as u8 / 4) << 4;
        tcp[13] = self.flags;
        tcp[14..16].copy_from_slice(&WINDOW.to_be_bytes());
        if self.flags & SYN != 0 {
            tcp[TCP_HEADER..].copy_from_slice(&SYN_OPTIONS);
        }
    }
}

impl SegmentHeaders {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// That of a header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let pairs = header.as_chunks().0.iter();
    let mut sum: u32 = pairs.map(|&pair| u32::from(u16::from_be_bytes(pair))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_that_of_the_specification() {
        let segment = Segment {
            from: "127.0.0.2:49152".parse().unwrap(),
            to: "127.0.0.1:80".parse().unwrap(),
            sequence: 0x0102_0304,
            acknowledged: 0x0506_0708,
            flags: ACK | PSH,
        };
        let headers = segment.headers(MOST_PAYLOAD);
        let bytes = headers.as_bytes();
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[2..4], [0xff, 0xff]);
        // The sum over a header with its checksum is 0.
        assert_eq!(checksum(&bytes[..20]), 0);
        assert_eq!(
            bytes[20..],
            [
                0xc0, 0, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_syn_has_the_window_scale() {
        let segment = Segment {
            from: "127.0.0.2:49152".parse().unwrap(),
            to: "127.0.0.1:80".parse().unwrap(),
            sequence: 1000,
            acknowledged: 0,
            flags: SYN,
        };
        let headers = segment.headers(0);
        assert_eq!(headers.as_bytes().len(), 48);
        assert_eq!(headers.as_bytes()[32] >> 4, 7);
        assert_eq!(headers.as_bytes()[40..], [2, 4, 0xff, 0xd7, 1, 3, 3, 14]);
    }
}
