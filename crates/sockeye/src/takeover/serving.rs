//! The last step of a takeover, and the control socket of a server.

use std::io;

use super::{ControlListener, PATIENCE, Takeover};
use crate::claim::{ClaimError, Ownership};
use crate::handover::{PendingTakeover, TakeoverError};
use crate::listener::{ConnectedSocket, SocketListener};

impl<S: ConnectedSocket> SocketListener<S> {
    /// Serving begins, which is the last step of a takeover: the path is ours from now on, and the
    /// predecessor drains. Where that comes too late, since it has withdrawn its offer, the path is
    /// taken over once more, or claimed. A listener that was claimed or adopted is left unchanged.
    ///
    /// [`Server::run`](crate::server::Server::run) does that first. Whoever reports readiness before,
    /// to a service manager say, calls this before that, and then `run` without delay: nobody
    /// accepts in between.
    ///
    /// # Errors
    /// As [`Takeover::listen`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the path to the server that has it.
    pub async fn begin(mut self) -> Result<Self, TakeoverError> {
        while let Some(mut pending) = self.take_pending() {
            if pending.is_awaited() && self.serve(&mut pending)? {
                self.own();
            } else if pending.is_left().await? && self.is_intact() {
                // If this fails our own files are removed.
                self.own();
                self.apply_mode_and_owner().map_err(TakeoverError::claim)?;
            } else {
                // Its lock would keep us from claiming the path.
                drop(self);
                self = again(pending).await?;
            }
        }
        Ok(self)
    }

    /// Gives the file our mode and owner, and says that we serve. In this order, since the predecessor
    /// may end at once; and not earlier, since it serves with its own until then. `false`, with the file
    /// as it was, where it does not wait for us any more.
    fn serve(&self, pending: &mut PendingTakeover) -> Result<bool, TakeoverError> {
        let before = self.ownership().and_then(Ownership::access);
        let applied = self.apply_mode_and_owner();
        if applied.is_ok() && pending.serve() {
            return Ok(true);
        }
        if !self.is_intact() {
            return Ok(false);
        }
        // A predecessor of another user cannot: the file may not be its own any more.
        if let (Some(ownership), Some(before)) = (self.ownership(), &before) {
            let _ = ownership.restore(before);
        }
        applied.map_or_else(|error| Err(TakeoverError::claim(error)), |()| Ok(false))
    }

    fn apply_mode_and_owner(&self) -> Result<(), ClaimError> {
        let ownership = self.ownership();
        ownership.map_or(Ok(()), Ownership::apply_mode_and_owner)
    }

    /// Serving ends before it began. Returns the listener if the path is ours all the same, since the
    /// predecessor has left it to us or has died; otherwise the predecessor keeps it.
    pub(crate) fn if_left(mut self) -> Option<Self> {
        let mut pending = self.take_pending()?;
        if !pending.is_left_now() || !self.is_intact() {
            return None;
        }
        self.own();
        Some(self)
    }

    /// Where successors ask, if the claim allows them to.
    pub(crate) fn control(&self) -> io::Result<Option<ControlListener>> {
        let Some(ownership) = self.ownership() else {
            return Ok(None);
        };
        let patience = ownership.patience().unwrap_or(PATIENCE);
        let control = ownership.control();
        let control = control.map(|(socket, file)| ControlListener::new(socket, &file, patience));
        control.transpose()
    }
}

/// Takes the path over from its owner, or claims it.
async fn again<S: ConnectedSocket>(
    pending: PendingTakeover,
) -> Result<SocketListener<S>, TakeoverError> {
    let PendingTakeover {
        connection,
        claim,
        trusted,
        address,
        ..
    } = pending;
    drop(connection);
    Takeover { claim, trusted }.listen(&address).await
}
