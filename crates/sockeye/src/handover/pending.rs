//! [`PendingTakeover`]: a takeover before its last step.

use std::os::fd::OwnedFd;

use tokio::time::Instant;

use super::STEP;
use super::connection::ControlConnection;
use super::error::TakeoverError;
use super::machine::Successor;
use crate::address::Address;
use crate::claim::ClaimOptions;
use crate::peer::Peer;

/// A takeover before its last step: the predecessor serves until it hears that the successor does.
pub(crate) struct PendingTakeover {
    pub(crate) connection: ControlConnection,
    pub(crate) predecessor: Peer,
    pub(crate) side: Successor,
    pub(crate) claim: ClaimOptions,
    /// The users from whose servers a socket may be taken, besides the usual ones.
    pub(crate) trusted: Vec<u32>,
    pub(crate) address: Address,
}

/// Whose the path is.
pub(crate) enum Outcome {
    /// Ours.
    Ours,
    /// Nobody else's, if the files are still there: the predecessor has died.
    Left,
    /// It is to be taken over once more.
    Theirs,
}

impl PendingTakeover {
    /// Clients are served from now on: tells the predecessor, if it still waits for that.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub(crate) async fn complete(&mut self) -> Result<Outcome, TakeoverError> {
        let connection = &self.connection;
        self.side.serve(|frame| connection.say(frame, &[]));
        if self.side == Successor::Serving {
            return Ok(Outcome::Ours);
        }
        self.step(Instant::now() + STEP).await?;
        Ok(match self.side {
            Successor::Serving => Outcome::Left,
            _ => Outcome::Theirs,
        })
    }

    /// Whether the predecessor has left the path to us, or has died. Where it has not, this gives the
    /// takeover up.
    pub(crate) fn is_left(&mut self) -> bool {
        self.side.stop();
        if let Ok((event, _)) = self.connection.last_look() {
            self.side.on(event);
        }
        self.side == Successor::Serving
    }

    /// Waits for one more event, and returns the fds that came with it.
    pub(crate) async fn step(&mut self, deadline: Instant) -> Result<Vec<OwnedFd>, TakeoverError> {
        self.connection.wait_until(Some(deadline));
        let (event, descriptors) = self
            .connection
            .event()
            .await
            .map_err(|error| TakeoverError::io(&self.address, error))?;
        self.side.on(event);
        Ok(descriptors)
    }
}
