//! An observer that keeps all that it sees.

use std::sync::mpsc;

use sockeye::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece,
    Observer,
};

pub(crate) use ObservedDirection::{ToClient, ToTarget};

#[derive(Debug)]
pub(crate) enum Seen {
    Begin(ObservedBegin),
    Piece(ObservedPiece),
    End(ObservedEnd),
    Gap(ObservedGap),
}

/// Keeps all that it sees, and lets go of the fds when it ends.
#[derive(Default)]
pub(crate) struct Keeper(pub(crate) Vec<Seen>);

impl Observer for Keeper {
    fn begin(&mut self, begin: ObservedBegin) {
        self.0.push(Seen::Begin(begin));
    }

    fn piece(&mut self, piece: ObservedPiece) {
        self.0.push(Seen::Piece(piece));
    }

    fn end(&mut self, end: ObservedEnd) {
        self.0.push(Seen::End(end));
    }

    fn missed(&mut self, missed: ObservedGap) {
        self.0.push(Seen::Gap(missed));
    }
}

impl Keeper {
    pub(crate) fn pieces(&self, direction: ObservedDirection) -> Vec<&ObservedPiece> {
        let pieces = self.0.iter().filter_map(|seen| match seen {
            Seen::Piece(piece) if piece.direction == direction => Some(piece),
            _ => None,
        });
        pieces.collect()
    }

    pub(crate) fn bytes(&self, direction: ObservedDirection) -> Vec<u8> {
        let pieces = self.pieces(direction);
        pieces
            .iter()
            .flat_map(|piece| piece.bytes.to_vec())
            .collect()
    }

    pub(crate) fn ends(&self) -> Vec<(ObservedDirection, DirectionEnd)> {
        let ends = self.0.iter().filter_map(|seen| match seen {
            Seen::End(end) => Some((end.direction, end.end)),
            _ => None,
        });
        ends.collect()
    }

    pub(crate) fn gaps(&self) -> Vec<ObservedGap> {
        let gaps = self.0.iter().filter_map(|seen| match seen {
            Seen::Gap(gap) => Some(*gap),
            _ => None,
        });
        gaps.collect()
    }

    pub(crate) fn begins(&self) -> Vec<&ObservedBegin> {
        let begins = self.0.iter().filter_map(|seen| match seen {
            Seen::Begin(begin) => Some(begin),
            _ => None,
        });
        begins.collect()
    }
}

/// It waits until it is told to go on.
pub(crate) struct Slow {
    pub(crate) go_on: mpsc::Receiver<()>,
    pub(crate) keeper: Keeper,
}

impl Observer for Slow {
    fn piece(&mut self, piece: ObservedPiece) {
        let _ = self.go_on.recv();
        self.keeper.piece(piece);
    }

    fn end(&mut self, end: ObservedEnd) {
        self.keeper.end(end);
    }

    fn missed(&mut self, missed: ObservedGap) {
        self.keeper.missed(missed);
    }
}
