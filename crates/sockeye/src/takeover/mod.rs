//! Listener handover: [`Takeover`] passes a listening socket from a server to its successor, without
//! an instant in which clients are refused.
//!
//! A server whose claim allows it ([`ClaimOptions::takeover`]) also listens at `PATH.takeover`, mode
//! 0600. A successor connects there and receives the listening socket, the lock and the control
//! socket (`SCM_RIGHTS`; socket and lock last as long as either process), checks them and says that
//! it is ready: [`Takeover::listen`] returns. The predecessor serves until the successor says that it
//! serves, which [`Server::run`](crate::server::Server::run) does first; then it stops accepting, drains
//! and ends. The socket file stays the same, and the successor accepts what is in the backlog.
//!
//! # Guarantee
//!
//! The path has at most one owner at a time, and once `listen` has returned no client is refused,
//! whichever process dies, hangs or is stopped at whichever step, but for one case: the future of `run`
//! is dropped in the predecessor.
//!
//! - **The successor** ends, is killed, hangs or is stopped (SIGSTOP) before it serves: the predecessor
//!   goes on accepting as if nothing had happened, with its own mode and owner of the file. After its
//!   [`patience`](Takeover::patience) the next successor gets its turn. One that comes too late takes
//!   over once more, from whoever has the path then, or `run` returns the error.
//! - **The predecessor** ends, is killed, hangs or is stopped after `listen` has returned: clients wait in
//!   the backlog until the successor serves, which does not wait for the predecessor.
//! - **The predecessor is told to shut down** meanwhile: it serves until its successor does, for at
//!   most half of its drain timeout. Then it leaves the path to that successor, and clients
//!   wait in the backlog as after a death. If the successor hangs for good it has to be ended, as any
//!   server that hangs, before another one can start.
//! - **The future of `run` is dropped** in the predecessor meanwhile: the files are removed, clients are
//!   refused, and the successor claims the path.
//! - **Both accept** from the one socket between the successor's word that it serves and the moment in
//!   which the predecessor reads it. Each connection is accepted, served and counted by one of them.
//!
//! What the predecessor has accepted it drains: a connection between two messages is closed, and its
//! client connects again.
//!
//! `handover/machine.rs` has the rules, and its tests go through every order of events.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use sockeye::server::{Connection, Server};
//! use sockeye::{Claim, Listener, Takeover};
//!
//! # async fn load() -> std::io::Result<()> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let takeover = Takeover::new(Claim::options().mode(0o660)).patience(Duration::from_secs(120));
//! // An error here leaves the predecessor as it was.
//! let listener: Listener = takeover.listen(&"/run/app.sock".parse()?).await?;
//! // The predecessor still serves. An error here, a crash or a hang leaves it as it was, too.
//! load().await?;
//! // The predecessor drains and ends. This one does so when its own successor serves.
//! let report = Server::new()
//!     .run(listener, |_: Connection| async {}, std::future::pending())
//!     .await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod control_listener;
mod file_watch;
mod serving;
mod successor;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use control_listener::{ControlListener, Request};

use crate::address::{Address, Kind};
use crate::backoff::Backoff;
use crate::claim::{ClaimError, ClaimErrorKind, ClaimOptions, control_address, wrong_kind};
pub use crate::handover::{TakeoverError, TakeoverErrorKind};
use crate::ids;
use crate::listener::{ConnectedSocket, SocketListener};
use crate::peer::Peer;
use successor::Attempt;

/// How long a predecessor waits for a successor that is ready to serve, unless that was set.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer a successor asks for a path than the predecessor may wait for another one.
const SPARE: Duration = Duration::from_secs(5);
/// The longest time that a successor asks.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a running server without a control socket is watched: it may be about to end, or to make
/// a new one.
const UNSETTLED: Duration = Duration::from_millis(500);
/// How many times in a row the sockets that are passed may not be those at the path, whose owner may
/// have changed meanwhile.
const MISMATCHES: u32 = 10;
/// Between two attempts, the first and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

/// Claims an address, or takes it over from the server that has it.
#[doc(alias = "listener handover")]
#[doc(alias = "zero downtime restart")]
#[doc(alias = "SCM_RIGHTS")]
#[derive(Debug, Clone)]
pub struct Takeover {
    claim: ClaimOptions,
    trusted: Vec<u32>,
}

impl Takeover {
    /// Claims with these options. They apply to a file that is taken over too: it gets their
    /// mode and owner, as a new file would, when the successor serves.
    #[must_use]
    pub fn new(claim: ClaimOptions) -> Self {
        Self {
            claim: claim.takeover(true),
            trusted: Vec::new(),
        }
    }

    /// Takes over from servers of this user too. By default only from those of our own user, of
    /// root, and, where we are root, of the user that the claim gives the file to.
    ///
    /// A process that has passed the listening socket on may keep it and accept some of the connections,
    /// whose clients see us as their peer (`SO_PEERCRED`).
    #[must_use]
    pub fn from_user(mut self, uid: u32) -> Self {
        self.trusted.push(uid);
        self
    }

    /// How long this server, once it serves, waits for a successor of its own between the return of
    /// the successor's [`listen`](Self::listen) and its [`Server::run`](crate::server::Server::run);
    /// default 30 seconds. It serves meanwhile. A successor that takes longer counts as hung, and
    /// another may take over.
    ///
    /// In a takeover the patience of the predecessor applies.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.claim = self.claim.with_patience(patience);
        self
    }

    /// Claims `address` if nobody is there, otherwise takes it over from a server that allows it;
    /// such a server runs [`Server::run`](crate::server::Server::run). The predecessor goes on
    /// serving until `run` is called with the returned listener. If that is not within its
    /// [`patience`](Self::patience), it keeps the path, and `run` takes over once more.
    ///
    /// Whoever accepts without a [`Server`](crate::server::Server) calls
    /// [`SocketListener::begin`] first: before that two processes accept.
    ///
    /// Waits for 35 seconds at most, or five more than a longer `patience`: for a server that starts,
    /// ends, hangs or is asked by others.
    ///
    /// # Errors
    /// [`TakeoverError`]; then the server that is there goes on serving.
    ///
    /// # Cancel safety
    /// Dropping the future gives up, and the server that is there goes on serving.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn listen<S: ConnectedSocket>(
        &self,
        address: &Address,
    ) -> Result<SocketListener<S>, TakeoverError> {
        let io = |error| TakeoverError::io(address, error);
        // A datagram socket cannot be handed over at all, which its claim says.
        let wanted = S::KIND.ok_or_else(|| io(wrong_kind::network(address)))?;
        if ![wanted, Kind::Datagram].contains(&address.kind()) {
            let wrong = TakeoverErrorKind::WrongKind { wanted };
            return Err(TakeoverError::new(address, wrong));
        }
        let patience = self.claim.patience().unwrap_or(PATIENCE).max(PATIENCE);
        let asking = patience.saturating_add(SPARE).min(LONGEST);
        let deadline = Instant::now() + asking;
        let [first, longest] = PAUSES;
        let mut backoff = Backoff::new(first, longest);
        let mut failure = None;
        let mut unoffered = None;
        let mut mismatches = 0;
        loop {
            let in_use = match self.claim.claim(address) {
                Ok(claim) => return SocketListener::from_claim(claim).map_err(io),
                Err(error) => error,
            };
            let is_live = matches!(in_use.kind(), ClaimErrorKind::InUse { .. });
            // It may also be at its control socket alone: a server that has lost its other files.
            let may_offer = is_live || may_offer_without_file(&in_use);
            let Some(control) = control_address(address).filter(|_| may_offer) else {
                return Err(TakeoverError::claim(in_use));
            };
            let now = Instant::now();
            if now >= deadline {
                return Err(failure.unwrap_or_else(|| TakeoverError::claim(in_use)));
            }
            if mismatches >= MISMATCHES
                && let Some(mismatch) = failure
            {
                return Err(mismatch);
            }
            failure = None;
            let was_unoffered = unoffered.take();
            match successor::attempt(self, address, &control, deadline).await? {
                Attempt::Taken(listener) => return Ok(*listener),
                Attempt::Foreign => return Err(TakeoverError::claim(in_use)),
                // The control socket is there before and after the other one, so that one server
                // without it, seen twice, is none that starts or ends.
                Attempt::NotOffered if is_live => match (was_unoffered, socket_file(address)) {
                    (Some((file, since)), found) if found == Some(file) => {
                        if now - since >= UNSETTLED {
                            return Err(TakeoverError::not_offered(address, &in_use));
                        }
                        unoffered = Some((file, since));
                    }
                    (_, found) => unoffered = found.map(|file| (file, now)),
                },
                Attempt::NotOffered | Attempt::Ended => mismatches = 0,
                Attempt::Failed(error) => {
                    mismatches = match error.kind() {
                        TakeoverErrorKind::Mismatch(_) => mismatches + 1,
                        _ => 0,
                    };
                    failure = Some(error);
                }
            }
            // It has ended, is about to, or has just begun: no event tells of all of these.
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// Whether a socket may be taken from this server, which may keep it and accept connections.
    fn trusts(&self, predecessor: &Peer) -> bool {
        let Some(uid) = predecessor.uid() else {
            return false;
        };
        let own = ids::own_uid();
        let owner = self.claim.owner_uid().filter(|_| own == Some(0));
        uid == 0 || [own, owner].contains(&Some(uid)) || self.trusted.contains(&uid)
    }
}

/// Whether the server that keeps us from the path may be at its control socket all the same.
fn may_offer_without_file(in_use: &ClaimError) -> bool {
    matches!(
        in_use.kind(),
        ClaimErrorKind::Locked { .. } | ClaimErrorKind::Displaced { .. }
    )
}

/// Which file the socket's is: inode numbers alone are given out again.
fn socket_file(address: &Address) -> Option<[u64; 4]> {
    let found = rustix::fs::lstat(address.path()?).ok()?;
    let changed = [found.st_ctime as u64, found.st_ctime_nsec as u64];
    Some([found.st_dev, found.st_ino, changed[0], changed[1]])
}
