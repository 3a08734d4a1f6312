//! [`ObservedSide`]: one direction of one connection, as it hands over to an observer.

use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::batch::ObserverEvent;
use super::queue::PieceBytes;
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
    /// What was missed since the last piece.
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
            client,
            command: client.and_then(|client| client.command()),
            ..ObservedBegin::new(connection, kind)
        };
        if !handle.observes(&begin) {
            return None;
        }
        let queue = &handle.shared.queue;
        queue.push_event(ObserverEvent::Begin(begin), true);
        let sides = [ObservedDirection::ToTarget, ObservedDirection::ToClient];
        Some(sides.map(|direction| Self {
            handle: handle.clone(),
            gap: ObservedGap::new(connection, direction),
            has_ended: false,
        }))
    }

    /// Waits until the observer has room for what is read next, if it is to see everything.
    pub(in crate::relay) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let key = (self.gap.connection, self.gap.direction);
        self.handle.shared.queue.poll_room(cx, key)
    }

    /// Whether [`Self::poll_room`] completes at once.
    pub(in crate::relay) fn has_room(&self) -> bool {
        self.handle.shared.queue.has_room()
    }

    /// Hands over a piece that is about to be sent. Never blocks: where the queue is full and the observer
    /// is not to see everything, the piece is missed.
    pub(in crate::relay) fn piece(
        &mut self,
        bytes: PieceBytes<'_>,
        is_record: bool,
        fds: &[OwnedFd],
        credentials: Option<Peer>,
    ) {
        let piece = ObservedPiece {
            connection: self.gap.connection,
            direction: self.gap.direction,
            bytes: Bytes::new(),
            is_record,
            fds: fds.iter().map(|fd| ObservedFd::of(fd.as_fd())).collect(),
            credentials,
            // Set by the thread.
            time: SystemTime::UNIX_EPOCH,
            instant: Instant::now(),
        };
        let size = bytes.len() as u64;
        let before = (self.gap.pieces > 0).then_some(ObserverEvent::Missed(self.gap));
        let queue = &self.handle.shared.queue;
        if queue.push_piece(piece, bytes, before, true) {
            self.gap = ObservedGap::new(self.gap.connection, self.gap.direction);
        } else {
            self.gap.pieces += 1;
            self.gap.bytes += size;
            self.gap.fds += fds.len() as u64;
        }
    }

    /// Hands over the end; only the first one counts.
    pub(in crate::relay) fn end(&mut self, end: DirectionEnd) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        let (connection, direction) = (self.gap.connection, self.gap.direction);
        let queue = &self.handle.shared.queue;
        queue.forget((connection, direction));
        if self.gap.pieces > 0 {
            queue.push_gap(self.gap);
        }
        let end = ObservedEnd::new(connection, direction, end);
        queue.push_event(ObserverEvent::End(end), true);
    }
}

impl Drop for ObservedSide {
    fn drop(&mut self) {
        self.end(DirectionEnd::Aborted);
    }
}
