//! [`Assembly`]: packets, sorted by connection.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use super::comment::Comment;
use super::connection_assembly::ConnectionAssembly;
use super::direction;
use super::endpoints;
use super::error::RecordingErrorKind;
use super::packet_reader::RecordedPacket;
use super::pcapng::{LINK_EXPORTED_PDU, LINK_IPV4, LINK_RAW};
use super::pdu::{PduKind, PduTags};
use super::recorded::{RecordedConnection, RecordedLocation};
use super::tcp_packet::TcpPacket;
use crate::relay::ObservedDirection;

/// The most connections of a recording.
const MOST_CONNECTIONS: usize = 1 << 24;

/// Sorts packets by connection.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    connections: Vec<ConnectionAssembly>,
    /// The last connection between two addresses, the lower one first.
    latest: HashMap<(bool, SocketAddrV4, SocketAddrV4), usize>,
    /// When the recording has begun.
    start: Option<Duration>,
    packets: u64,
    ignored: u64,
}

/// All of a file.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) connections: Vec<RecordedConnection>,
    pub(super) packets: u64,
    pub(super) ignored: u64,
}

impl Assembly {
    /// Takes the next packet, with the bytes of a record that are in blocks of their own.
    pub(super) fn take(
        &mut self,
        packet: &RecordedPacket<'_>,
        continued: u32,
    ) -> Result<(), RecordingErrorKind> {
        let time = Duration::from_nanos(packet.time);
        self.packets += 1;
        self.start = Some(self.start.map_or(time, |start| start.min(time)));
        let is_taken = match packet.link {
            LINK_IPV4 | LINK_RAW => self.take_segment(packet, time)?,
            LINK_EXPORTED_PDU => self.take_pdu(packet, time, continued)?,
            _ => false,
        };
        self.ignored += u64::from(!is_taken);
        Ok(())
    }

    /// The connections, once all packets are taken.
    pub(super) fn finish(self) -> Assembled {
        let start = self.start.unwrap_or_default();
        let connections = self.connections.into_iter();
        Assembled {
            connections: connections.map(|one| one.finish(start)).collect(),
            packets: self.packets,
            ignored: self.ignored,
        }
    }

    fn take_segment(
        &mut self,
        packet: &RecordedPacket<'_>,
        time: Duration,
    ) -> Result<bool, RecordingErrorKind> {
        let Some(segment) = TcpPacket::parse(packet.data, packet.original) else {
            return Ok(false);
        };
        let (from, to) = (segment.from, segment.to);
        let is_first = segment.is_syn() && segment.acknowledged.is_none();
        let known = self.latest.get(&key(false, from, to)).copied();
        let known =
            known.filter(|&n| !is_first || self.connections[n].begins_with(segment.sequence));
        let number = match known {
            Some(number) => number,
            None => {
                let client = client_of(&segment, packet.flags);
                self.add(false, client, if client == from { to } else { from }, time)?
            }
        };
        let connection = &mut self.connections[number];
        let location = RecordedLocation {
            offset: packet.offset + segment.payload as u64,
            length: segment.captured,
        };
        let mut comments = packet.comments().filter_map(Comment::parse);
        let is_gone = comments.any(|comment| comment == Comment::ReaderGone);
        let is_new = connection.take_segment(&segment, location, time, is_gone);
        take_comments(connection, packet, is_new);
        Ok(true)
    }

    fn take_pdu(
        &mut self,
        packet: &RecordedPacket<'_>,
        time: Duration,
        continued: u32,
    ) -> Result<bool, RecordingErrorKind> {
        let Some((tags, length)) = PduTags::parse(packet.data) else {
            return Ok(false);
        };
        let (from, to) = (tags.from, tags.to);
        let is_ours = endpoints::are_ours(*from.ip(), *to.ip());
        let number = match self.latest.get(&key(true, from, to)) {
            Some(&number) => number,
            None => {
                let is_answer = if is_ours {
                    *from.ip() == endpoints::SERVER
                } else {
                    direction::from_flags(packet.flags) == Some(ObservedDirection::ToClient)
                };
                let (client, server) = if is_answer { (to, from) } else { (from, to) };
                self.add(true, client, server, time)?
            }
        };
        let size = (packet.data.len() - length) as u32;
        let location = RecordedLocation {
            offset: packet.offset + length as u64,
            length: size.saturating_add(continued),
        };
        let is_whole = packet.original as usize == packet.data.len() + continued as usize;
        let kind = match tags.kind {
            // Others note the number of a frame there.
            PduKind::Record(_) if !is_ours => PduKind::Record(None),
            kind => kind,
        };
        let connection = &mut self.connections[number];
        let whole = is_whole.then_some(location);
        let is_new = connection.take_pdu(from, kind, whole, time);
        take_comments(connection, packet, is_new);
        Ok(true)
    }

    fn add(
        &mut self,
        is_record: bool,
        client: SocketAddrV4,
        server: SocketAddrV4,
        time: Duration,
    ) -> Result<usize, RecordingErrorKind> {
        let number = self.connections.len();
        if number == MOST_CONNECTIONS {
            return Err(RecordingErrorKind::TooLarge {
                what: "a number of connections",
                found: number as u64 + 1,
                limit: MOST_CONNECTIONS as u64,
            });
        }
        self.connections
            .push(ConnectionAssembly::new(is_record, client, time));
        self.latest.insert(key(is_record, client, server), number);
        Ok(number)
    }
}

fn take_comments(connection: &mut ConnectionAssembly, packet: &RecordedPacket<'_>, is_new: bool) {
    for comment in packet.comments() {
        match Comment::parse(comment) {
            Some(Comment::Client(client)) => connection.set_client(client),
            Some(Comment::Fds(count)) if is_new => connection.add_fds(count),
            _ => {}
        }
    }
}

/// Which side of a connection is the client, by its first segment.
fn client_of(segment: &TcpPacket, flags: u32) -> SocketAddrV4 {
    let (from, to) = (segment.from, segment.to);
    if segment.is_syn() {
        return if segment.acknowledged.is_some() {
            to
        } else {
            from
        };
    }
    if endpoints::are_ours(*from.ip(), *to.ip()) {
        return if *from.ip() == endpoints::SERVER {
            to
        } else {
            from
        };
    }
    match direction::from_flags(flags) {
        Some(ObservedDirection::ToTarget) => from,
        Some(ObservedDirection::ToClient) => to,
        // Servers have the lower ports.
        None if from.port() < to.port() => to,
        None => from,
    }
}

fn key(
    is_record: bool,
    one: SocketAddrV4,
    other: SocketAddrV4,
) -> (bool, SocketAddrV4, SocketAddrV4) {
    (is_record, one.min(other), one.max(other))
}
