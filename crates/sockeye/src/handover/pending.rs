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

impl PendingTakeover {
    /// Whether the predecessor still waits for us, as far as can be seen.
    pub(crate) fn is_awaited(&self) -> bool {
        self.side == Successor::Ready && self.connection.has_heard_nothing()
    }

    /// Clients are served from now on. `false` where the predecessor does not wait for that any more.
    pub(crate) fn serve(&mut self) -> bool {
        let connection = &self.connection;
        self.side.serve(|frame| connection.say(frame, &[]));
        self.side == Successor::Serving
    }

    /// Whether a predecessor that does not wait for us any more has left the path to us, or has died.
    /// Otherwise it keeps the path.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub(crate) async fn is_left(&mut self) -> Result<bool, TakeoverError> {
        self.side.stop();
        self.step(Instant::now() + STEP).await?;
        Ok(self.side == Successor::Serving)
    }

    /// As [`Self::is_left`], without waiting. Where the predecessor still waits for us, this gives the
    /// takeover up.
    pub(crate) fn is_left_now(&mut self) -> bool {
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
