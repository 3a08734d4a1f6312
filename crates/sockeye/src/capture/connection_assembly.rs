//! [`ConnectionAssembly`]: the packets of one connection, made into events.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::direction;
use super::pdu::PduKind;
use super::reassembly::Reassembly;
use super::recorded::{RecordedConnection, RecordedEvent, RecordedLocation, RecordedPart};
use super::tcp_packet::TcpPacket;
use crate::relay::ObservedDirection;

/// The longest description of a client.
const MOST_CLIENT: usize = 1024;

/// The packets of one connection.
#[derive(Debug)]
pub(super) struct ConnectionAssembly {
    client: SocketAddrV4,
    description: Option<String>,
    is_record: bool,
    fds: u64,
    /// When its first packet was.
    time: Duration,
    /// The sequence number of its SYN; of records that their beginning is there.
    begin: Option<u32>,
    /// By [`direction::index`].
    directions: [Reassembly; 2],
    reset: Option<(ObservedDirection, Duration)>,
    events: Vec<RecordedEvent>,
}

impl ConnectionAssembly {
    pub(super) fn new(is_record: bool, client: SocketAddrV4, time: Duration) -> Self {
        let directions = [ObservedDirection::ToTarget, ObservedDirection::ToClient];
        Self {
            client,
            description: None,
            is_record,
            fds: 0,
            time,
            begin: None,
            directions: directions.map(|direction| Reassembly::new(direction, is_record)),
            reset: None,
            events: Vec::new(),
        }
    }

    /// Whether a SYN with this number is one of this connection, again.
    pub(super) fn begins_with(&self, sequence: u32) -> bool {
        self.begin == Some(sequence)
    }

    pub(super) fn set_client(&mut self, description: &str) {
        if self.description.is_none() {
            let end = description.floor_char_boundary(MOST_CLIENT);
            self.description = Some(description[..end].to_owned());
        }
    }

    pub(super) fn add_fds(&mut self, count: u64) {
        self.fds = self.fds.saturating_add(count);
    }

    /// Returns whether it has bytes that are new. With `is_gone` its FIN is there since the reader has
    /// gone: that is how the connection has ended, and not the writer's EOF.
    pub(super) fn take_segment(
        &mut self,
        segment: &TcpPacket,
        location: RecordedLocation,
        time: Duration,
        is_gone: bool,
    ) -> bool {
        let to = self.direction_from(segment.from);
        if segment.is_reset() {
            self.reset.get_or_insert((to, time));
            return false;
        }
        let n = direction::index(to);
        if let Some(number) = segment.acknowledged {
            self.directions[1 - n].acknowledged(number);
        }
        let (own, events) = (&mut self.directions[n], &mut self.events);
        let mut sequence = segment.sequence;
        if segment.is_syn() {
            sequence = sequence.wrapping_add(1);
            own.begin(sequence);
            if segment.acknowledged.is_none() {
                self.begin.get_or_insert(segment.sequence);
            }
        }
        let is_new = own.take(sequence, segment.length, location, time, events);
        if segment.is_fin() && is_gone {
            self.reset.get_or_insert((direction::opposite(to), time));
        } else if segment.is_fin() {
            own.end(sequence.wrapping_add(segment.length), time, events);
        }
        is_new
    }

    /// Takes a record, or what else its frame is; without a location where not all of it is there.
    /// Returns whether it is new.
    pub(super) fn take_pdu(
        &mut self,
        from: SocketAddrV4,
        kind: PduKind,
        location: Option<RecordedLocation>,
        time: Duration,
    ) -> bool {
        let to = self.direction_from(from);
        let own = &mut self.directions[direction::index(to)];
        match kind {
            PduKind::Begin => {
                self.begin = Some(0);
                for direction in &mut self.directions {
                    direction.begin(1);
                }
            }
            PduKind::Record(number) => {
                let number = number.unwrap_or_else(|| own.following());
                if let Some(location) = location {
                    return own.take(number, 1, location, time, &mut self.events);
                }
                own.begin(number);
                own.acknowledged(number.wrapping_add(1));
            }
            PduKind::End => own.end(own.following(), time, &mut self.events),
            PduKind::Reset => {
                self.reset.get_or_insert((to, time));
            }
        }
        false
    }

    /// The connection, with times from `start` on.
    pub(super) fn finish(mut self, start: Duration) -> RecordedConnection {
        let events = &mut self.events;
        for direction in &mut self.directions {
            direction.finish(events);
        }
        if let Some((direction, time)) = self.reset {
            events.push(RecordedEvent {
                time,
                direction,
                what: RecordedPart::Reset,
            });
        }
        for event in &mut *events {
            event.time = event.time.saturating_sub(start);
        }
        // Stable: each direction is in its order.
        events.sort_by_key(|event| event.time);
        events.shrink_to_fit();
        let has_ended = self.directions.iter().all(Reassembly::has_ended);
        RecordedConnection {
            client: self.description,
            is_record: self.is_record,
            fds: self.fds,
            time: self.time.saturating_sub(start),
            has_begin: self.begin.is_some(),
            has_end: has_ended || self.reset.is_some(),
            has_hole: self.directions.iter().any(Reassembly::has_hole),
            events: self.events,
        }
    }

    fn direction_from(&self, from: SocketAddrV4) -> ObservedDirection {
        if from == self.client {
            ObservedDirection::ToTarget
        } else {
            ObservedDirection::ToClient
        }
    }
}
