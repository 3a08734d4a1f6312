//! What a direction has received: whose it is, and who observes it.

use std::task::{Context, Poll, ready};

use super::direction_state::DirectionState;
use super::observer::PieceBytes;
use super::relay_direction::RelayDirection;
use super::relay_piece::RelayPiece;
use super::report::RelayFailure;
use crate::peer::Peer;

impl RelayDirection {
    /// A piece that was just received, with what came with it.
    pub(super) fn push(&mut self, piece: RelayPiece, credentials: Option<Peer>) {
        if let Some(observed) = &mut self.observed {
            let bytes = PieceBytes::Borrowed(&piece.bytes);
            observed.piece(bytes, piece.is_record, &piece.fds, credentials);
        }
        self.pending.push_back(piece.with_credentials(credentials));
    }

    /// Whose credentials a message carries on, with those that have come with it. It is never sent without
    /// any, as the relay's own.
    pub(super) fn sender(&self, found: Option<Peer>) -> Result<Option<Peer>, RelayFailure> {
        let Some(client) = self.client else {
            return Ok(None);
        };
        let sender = found.unwrap_or(client);
        match sender.to_credentials() {
            Some(_) => Ok(Some(sender)),
            None => Err(RelayFailure::UnknownSender),
        }
    }

    pub(super) fn observe(&mut self, bytes: &[u8], is_record: bool, credentials: Option<Peer>) {
        if let Some(observed) = &mut self.observed {
            observed.piece(PieceBytes::Borrowed(bytes), is_record, &[], credentials);
        }
    }

    /// Waits for an observer that is to see everything, before more is received.
    pub(super) fn poll_observer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(observed) = &self.observed {
            self.waits_for_observer = true;
            ready!(observed.poll_room(cx));
            self.waits_for_observer = false;
        }
        Poll::Ready(())
    }

    /// Tells an observer of the end, once there is one.
    pub(super) fn note_end(&mut self) {
        if let (Some(observed), DirectionState::Ended(end)) = (&mut self.observed, &self.state) {
            observed.end(*end);
        }
    }
}
