//! Tags in front of a record, for link type 252 (exported PDU): which connection, which dissector.

use std::net::{Ipv4Addr, SocketAddrV4};

const END: u16 = 0;
const DISSECTOR: u16 = 12;
const IPV4_SOURCE: u16 = 20;
const IPV4_DESTINATION: u16 = 21;
const PORT_TYPE: u16 = 24;
const SOURCE_PORT: u16 = 25;
const DESTINATION_PORT: u16 = 26;
/// The number of the frame in another file; here that of the record in its direction, from 1.
const ORIGINAL_FRAME: u16 = 30;
const INFO_TEXT: u16 = 36;

const PORT_TYPE_UDP: u32 = 3;

/// The longest name of a dissector.
pub(super) const MOST_NAME: usize = 255;

/// What a frame of link type 252 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PduKind {
    /// A record, with its number, if the writer counted.
    Record(Option<u32>),
    /// The beginning of a connection.
    Begin,
    /// EOF.
    End,
    /// A reset.
    Reset,
}

/// The tags of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PduTags {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) kind: PduKind,
}

impl PduKind {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Record(_) => None,
            Self::Begin => Some("connect"),
            Self::End => Some("EOF"),
            Self::Reset => Some("reset"),
        }
    }
}

impl PduTags {
    /// Writes them behind what is in `out`.
    pub(super) fn write(&self, dissector: &str, out: &mut Vec<u8>) {
        let name = match self.kind {
            PduKind::Record(_) => dissector,
            // Not every dissector takes a payload of no bytes.
            _ => "data",
        };
        put(out, DISSECTOR, name.as_bytes());
        put(out, IPV4_SOURCE, &self.from.ip().octets());
        put(out, IPV4_DESTINATION, &self.to.ip().octets());
        put(out, PORT_TYPE, &PORT_TYPE_UDP.to_be_bytes());
        put(out, SOURCE_PORT, &u32::from(self.from.port()).to_be_bytes());
        let port = u32::from(self.to.port());
        put(out, DESTINATION_PORT, &port.to_be_bytes());
        if let PduKind::Record(Some(number)) = self.kind {
            put(out, ORIGINAL_FRAME, &number.to_be_bytes());
        }
        if let Some(text) = self.kind.text() {
            put(out, INFO_TEXT, text.as_bytes());
        }
        put(out, END, &[]);
    }

    /// The tags at the beginning of a frame, and how many bytes they are; `None` where they do not end.
    /// Those that are not there are 0.
    pub(super) fn parse(frame: &[u8]) -> Option<(Self, usize)> {
        let mut addresses = [Ipv4Addr::UNSPECIFIED; 2];
        let mut ports = [0; 2];
        let mut kind = PduKind::Record(None);
        let mut at = 0;
        loop {
            let head = frame.get(at..at + 4)?;
            let tag = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = frame.get(at + 4..at + 4 + length)?;
            at += 4 + length;
            let number = value.try_into().map(u32::from_be_bytes).ok();
            match (tag, number) {
                (END, _) => break,
                (IPV4_SOURCE, Some(bits)) => addresses[0] = Ipv4Addr::from_bits(bits),
                (IPV4_DESTINATION, Some(bits)) => addresses[1] = Ipv4Addr::from_bits(bits),
                (SOURCE_PORT, Some(port)) => ports[0] = port as u16,
                (DESTINATION_PORT, Some(port)) => ports[1] = port as u16,
                (ORIGINAL_FRAME, Some(_)) => kind = PduKind::Record(number),
                (INFO_TEXT, _) => kind = kind_of(value).unwrap_or(kind),
                _ => {}
            }
        }
        let [from, to] = [0, 1].map(|side| SocketAddrV4::new(addresses[side], ports[side]));
        Some((Self { from, to, kind }, at))
    }
}

fn kind_of(text: &[u8]) -> Option<PduKind> {
    let kinds = [PduKind::Begin, PduKind::End, PduKind::Reset];
    let end = text.iter().position(|&byte| byte == 0);
    let text = &text[..end.unwrap_or(text.len())];
    kinds
        .into_iter()
        .find(|kind| kind.text().is_some_and(|own| own.as_bytes() == text))
}

/// Writes a tag. Values are padded to four bytes, and the padding counts: Wireshark does so, and takes
/// zeros at the end of a text for its end.
fn put(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let padding = super::pcapng::padding(value.len());
    let length = (value.len() + padding) as u16;
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(&[0; 3][..padding]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_written() {
        let kinds = [
            PduKind::Record(Some(7)),
            PduKind::Record(None),
            PduKind::Begin,
            PduKind::End,
            PduKind::Reset,
        ];
        for kind in kinds {
            let tags = PduTags {
                from: "127.0.0.2:49152".parse().unwrap(),
                to: "127.0.0.1:80".parse().unwrap(),
                kind,
            };
            let mut frame = Vec::new();
            tags.write("dns", &mut frame);
            let length = frame.len();
            assert_eq!(length % 4, 0);
            frame.extend_from_slice(b"payload");
            assert_eq!(PduTags::parse(&frame), Some((tags, length)));
            for cut in 0..length {
                assert_eq!(PduTags::parse(&frame[..cut]), None, "{kind:?} cut at {cut}");
            }
        }
    }
}
