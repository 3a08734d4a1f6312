//! [`ObservedSide`]: one direction of one connection, as it hands over to an observer.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::handle::Event;
use super::{
    ObservedBegin, ObservedDirection, ObservedEnd, ObservedFd, ObservedGap, ObservedPiece,
    ObserverHandle,
};
use crate::address::Kind;
use crate::peer::Peer;
use crate::relay::DirectionEnd;

/// Dropped before its end, it hands over that it was aborted.
pub(in crate::relay) struct ObservedSide {
    handle: ObserverHandle,
    gap: ObservedGap,
    has_ended: bool,
}

impl ObservedSide {
    /// Both directions of a new connection, to the target and to the client; `None` where the filter
    /// leaves it out.
    pub(in crate::relay) fn begin(
        handle: &ObserverHandle,
        kind: Kind,
        client: Option<Peer>,
    ) -> Option<[Self; 2]> {
        let connection = handle.number();
        let begin = ObservedBegin {
            connection,
            kind,
            client,
            command: client.and_then(|client| client.command()),
            time: SystemTime::now(),
            instant: Instant::now(),
        };
        if !handle.observes(&begin) {
            return None;
        }
        handle.send_unless_full(Event::Begin(begin));
        let sides = [ObservedDirection::ToTarget, ObservedDirection::ToClient];
        Some(sides.map(|direction| Self {
            handle: handle.clone(),
            gap: ObservedGap {
                connection,
                direction,
                pieces: 0,
                bytes: 0,
                fds: 0,
            },
            has_ended: false,
        }))
    }

    /// Hands over a piece that is about to be sent. Never blocks: where the queue is full, the piece is
    /// missed.
    pub(in crate::relay) fn piece(
        &mut self,
        bytes: &[u8],
        is_record: bool,
        fds: &[OwnedFd],
        credentials: Option<Peer>,
    ) {
        if !self.handle.reserve(bytes.len(), fds.len()) {
            self.gap.pieces += 1;
            self.gap.bytes += bytes.len() as u64;
            self.gap.fds += fds.len() as u64;
            return;
        }
        self.report_gap();
        self.handle.send(Event::Piece(ObservedPiece {
            connection: self.gap.connection,
            direction: self.gap.direction,
            bytes: Bytes::copy_from_slice(bytes),
            is_record,
            fds: fds.iter().map(|fd| ObservedFd::of(fd.as_fd())).collect(),
            credentials,
            time: SystemTime::now(),
            instant: Instant::now(),
        }));
    }

    /// Hands over the end; only the first one counts.
    pub(in crate::relay) fn end(&mut self, end: DirectionEnd) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        self.report_gap();
        self.handle.send_unless_full(Event::End(ObservedEnd {
            connection: self.gap.connection,
            direction: self.gap.direction,
            end,
            time: SystemTime::now(),
            instant: Instant::now(),
        }));
    }

    fn report_gap(&mut self) {
        if self.gap.pieces > 0 {
            self.handle.send(Event::Missed(self.gap));
            (self.gap.pieces, self.gap.bytes, self.gap.fds) = (0, 0, 0);
        }
    }
}

impl Drop for ObservedSide {
    fn drop(&mut self) {
        self.end(DirectionEnd::Aborted);
    }
}
