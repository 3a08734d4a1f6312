//! An [`ObserverHandle`] as an observer: one that has seen enough hands over to the next.

use super::batch::ObserverEvent;
use super::queue::PieceBytes;
use super::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece, Observer, ObserverHandle};

/// Hands over to the observer of this handle what another one has seen, under the same numbers. The
/// filter of [`only`](ObserverHandle::only) is not asked. A piece that finds the queue full is missed; for
/// a handle of [`start_complete`](ObserverHandle::start_complete) the calling thread waits instead.
impl Observer for ObserverHandle {
    fn begin(&mut self, begin: ObservedBegin) {
        let queue = &self.shared.queue;
        queue.wait_for_room();
        queue.push_event(ObserverEvent::Begin(begin), false);
    }

    fn piece(&mut self, mut piece: ObservedPiece) {
        let shared = &self.shared;
        let key = (piece.connection, piece.direction);
        let mut missed = ObservedGap::new(piece.connection, piece.direction);
        missed.pieces = 1;
        missed.bytes = piece.bytes.len() as u64;
        missed.fds = piece.fds.len() as u64;
        shared.queue.wait_for_room();
        let gap = shared.gaps.get(key);
        let bytes = PieceBytes::Owned(std::mem::take(&mut piece.bytes));
        let before = gap.map(ObserverEvent::Missed);
        if !shared.queue.push_piece(piece, bytes, before, false) {
            shared.gaps.add(&missed);
        } else if gap.is_some() {
            shared.gaps.remove(key);
        }
    }

    fn end(&mut self, end: ObservedEnd) {
        let shared = &self.shared;
        shared.queue.wait_for_room();
        if let Some(gap) = shared.gaps.remove((end.connection, end.direction)) {
            shared.queue.push_gap(gap);
        }
        shared.queue.push_event(ObserverEvent::End(end), false);
    }

    fn missed(&mut self, gap: ObservedGap) {
        self.shared.gaps.add(&gap);
    }
}
