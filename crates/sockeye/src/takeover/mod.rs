//! [`Takeover`]: a listening socket goes from a server to its successor, and no client notices.
//!
//! A server whose claim allows it ([`ClaimOptions::takeover`]) listens at `PATH.takeover` too, mode
//! 0600. A successor connects there, is given the listening socket, the lock and the control socket
//! itself (the open files, so that socket and lock last as long as either process), looks at them
//! and says that it is ready. Only then does the predecessor give the files up; when the successor
//! has said that it serves, the predecessor stops accepting, answers what it has begun and ends.
//! The socket file stays the same, and what waits in its backlog is accepted by the successor.
//!
//! Whichever of the two dies at whichever step, the other goes on alone. `machine` has the rules, and
//! its tests go through every order of events.

mod connection;
mod error;
mod frame;
mod machine;
mod predecessor;
mod successor;

use std::time::Duration;

use tokio::time::Instant;

pub use error::{TakeoverError, TakeoverErrorKind};
pub(crate) use predecessor::{Control, Request};
pub(crate) use successor::Succession;

use crate::address::Address;
use crate::claim::{ClaimErrorKind, ClaimOptions, control_address};
use crate::listener::{Accepted, Listening};
use successor::Attempt;

/// How long either side waits for the next word of the other.
const STEP: Duration = Duration::from_secs(10);
/// How long a server that seems to start or to end may go on seeming so.
const UNSETTLED: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Reads all that comes on a control connection.
#[cfg(fuzzing)]
pub(crate) async fn read_to_end(socket: crate::SeqPacket) {
    let connection = connection::Connection::new(socket);
    while !matches!(connection.event().await, Ok((machine::Event::Closed, _))) {}
}

/// Claims an address, or takes it over from the server that has it.
///
/// ```no_run
/// use sockeye::{Claim, Listener, Takeover};
/// use sockeye::server::{Connection, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // All that can fail comes first: with this the predecessor is told that we are ready.
/// let listener: Listener = Takeover::new(Claim::options().mode(0o660))
///     .listen(&"/run/app.sock".parse()?)
///     .await?;
/// // Ends in order when a successor has come in its turn.
/// let report = Server::new()
///     .run(listener, |_: Connection| async {}, std::future::pending())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Takeover {
    claim: ClaimOptions,
}

impl Takeover {
    /// Claims with these options. They are those of the file too if it is taken over: it gets their
    /// mode and owner, as if it had been made anew.
    #[must_use]
    pub fn new(claim: ClaimOptions) -> Self {
        Self {
            claim: claim.takeover(true),
        }
    }

    /// Claims `address` if nobody is there, otherwise takes it over from a server that allows it;
    /// such a server runs [`Server::run`](crate::server::Server::run). What was taken over is ours
    /// once that runs with the returned listener; if it is dropped before, the predecessor goes on.
    ///
    /// # Errors
    /// [`TakeoverError`]; then the server that is there goes on serving.
    ///
    /// # Cancel safety
    /// Dropping the future gives up, and the server that is there goes on serving.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn listen<S: Accepted>(
        &self,
        address: &Address,
    ) -> Result<Listening<S>, TakeoverError> {
        let io = |error| TakeoverError::io(address, error);
        if address.kind() != S::KIND {
            return Err(io(std::io::ErrorKind::Unsupported.into()));
        }
        let settled = Instant::now() + UNSETTLED;
        let mut was_absent = false;
        loop {
            let in_use = match self.claim.claim(address) {
                Ok(claim) => return Listening::from_claim(claim).map_err(io),
                Err(error) => error,
            };
            let is_live = matches!(in_use.kind(), ClaimErrorKind::InUse { .. });
            let is_locked = matches!(in_use.kind(), ClaimErrorKind::Locked { .. });
            // It may also be the path of the control socket that somebody else has.
            let is_other = in_use.address() != address || !(is_live || is_locked);
            let Some(control) = control_address(address).filter(|_| !is_other) else {
                return Err(TakeoverError::claim(in_use));
            };
            let is_absent = match successor::attempt(address, &control, &self.claim).await? {
                Attempt::Taken(listener) => return Ok(*listener),
                Attempt::NotOffered => true,
                Attempt::Ended => false,
            };
            // The control socket is there before and after the other one.
            if is_live && is_absent && was_absent {
                return Err(TakeoverError::not_offered(address, &in_use));
            }
            if Instant::now() >= settled {
                return Err(TakeoverError::claim(in_use));
            }
            was_absent = is_absent;
            // It has ended, is about to, or has just begun: no descriptor tells of all of these.
            tokio::time::sleep(PAUSE).await;
        }
    }
}
