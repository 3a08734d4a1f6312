//! [`Succession`]: the side of the server that comes.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use tokio::time::Instant;

use super::connection::Connection;
use super::error::{TakeoverError, TakeoverErrorKind};
use super::frame::Frame;
use super::machine::{Reason, Successor};
use super::{STEP, Takeover};
use crate::address::Address;
use crate::claim::{Inheritance, Ownership};
use crate::connect::{ConnectErrorKind, Connector};
use crate::listener::{ConnectedSocket, SocketListener};
use crate::peer::Peer;

/// What became of an attempt.
pub(super) enum Attempt<S> {
    Taken(Box<SocketListener<S>>),
    /// There is no control socket.
    NotOffered,
    /// The socket there is another one's.
    Foreign,
    /// The server does not answer there, or does not any more.
    Ended,
    /// Another attempt may succeed. If none does, this is why.
    Failed(TakeoverError),
}

/// A takeover before its last step: the predecessor serves until it hears that we do.
pub(crate) struct Succession {
    connection: Connection,
    predecessor: Peer,
    side: Successor,
    takeover: Takeover,
    address: Address,
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

impl Succession {
    pub(crate) fn predecessor(&self) -> Peer {
        self.predecessor
    }

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

    /// Takes the path over from whoever has it now.
    ///
    /// # Errors
    /// As [`Takeover::listen`].
    pub(crate) async fn again<S: ConnectedSocket>(
        self,
    ) -> Result<SocketListener<S>, TakeoverError> {
        drop(self.connection);
        self.takeover.listen(&self.address).await
    }

    /// Looks at what was offered, does all that can fail, and says that it is done.
    fn verify<S: ConnectedSocket>(
        mut self,
        passed: Inheritance,
    ) -> Result<Attempt<S>, TakeoverError> {
        let (address, claim) = (&self.address, &self.takeover.claim);
        let (ownership, socket) = match Ownership::inherit(address, claim, passed) {
            Ok(inherited) => inherited,
            // It may have ended meanwhile, and somebody else have the path.
            Err(Ok(mismatch)) => {
                let kind = TakeoverErrorKind::Mismatch(mismatch);
                return Ok(Attempt::Failed(TakeoverError::new(address, kind)));
            }
            Err(Err(error)) => return Err(TakeoverError::claim(error)),
        };
        let before = ownership.access();
        let listener = SocketListener::inherited(socket, ownership, claim.takes_descriptors())
            .map_err(|error| TakeoverError::io(address, error))?;
        let applied = listener
            .ownership()
            .map_or(Ok(()), Ownership::apply_mode_and_owner);
        let connection = &self.connection;
        if applied.is_ok() {
            let mut said = Ok(());
            self.side.verified(|frame| {
                said = connection.try_to_say(frame, &[]);
                said.is_ok()
            });
            // Where it does not listen any more it tells why, or has died and left everything to us.
            if said.map_or_else(|error| error.kind() == ErrorKind::BrokenPipe, |()| true) {
                return Ok(Attempt::Taken(Box::new(listener.succeeding(self))));
            }
        } else if !listener.is_intact() {
            return Ok(Attempt::Ended);
        }
        // A predecessor of another user cannot: the file may not be its own any more.
        if let (Some(ownership), Some(before)) = (listener.ownership(), before) {
            let _ = ownership.restore(before);
        }
        match applied {
            Ok(()) => Ok(Attempt::Ended),
            Err(error) => Err(TakeoverError::claim(error)),
        }
    }

    /// Waits for one more event, with descriptors.
    async fn step(&mut self, deadline: Instant) -> Result<Vec<OwnedFd>, TakeoverError> {
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

/// Asks at the control socket.
pub(super) async fn attempt<S: ConnectedSocket>(
    takeover: &Takeover,
    address: &Address,
    control: &Address,
    deadline: Instant,
) -> Result<Attempt<S>, TakeoverError> {
    let fail = |kind| TakeoverError::new(address, kind);
    let left = deadline.saturating_duration_since(Instant::now());
    let connector = Connector::new().connect_timeout(left);
    let socket = match connector.connect_seqpacket(control).await {
        Ok(socket) => socket,
        Err(error) => {
            return match error.kind() {
                ConnectErrorKind::Absent => Ok(Attempt::NotOffered),
                // It has been killed, it stops, or it starts.
                ConnectErrorKind::Stale | ConnectErrorKind::NotListening { .. } => {
                    Ok(Attempt::Ended)
                }
                ConnectErrorKind::WrongKind { .. } => Ok(Attempt::Foreign),
                ConnectErrorKind::BacklogFull => {
                    Ok(Attempt::Failed(TakeoverError::connect(address, error)))
                }
                _ => Err(TakeoverError::connect(address, error)),
            };
        }
    };
    let predecessor = socket
        .peer()
        .map_err(|error| TakeoverError::io(address, error))?;
    if !takeover.trusts(&predecessor) {
        let uid = predecessor.uid();
        return Err(fail(TakeoverErrorKind::ForeignServer { uid }));
    }
    let mut succession = Succession {
        connection: Connection::new(socket),
        predecessor,
        side: Successor::Asked,
        takeover: takeover.clone(),
        address: address.clone(),
    };
    succession.connection.say(Frame::Hello, &[]);
    let descriptors = succession.step(deadline).await?;
    match succession.side {
        Successor::Offered => {}
        Successor::Without(Reason::TimedOut) => {
            return Ok(Attempt::Failed(fail(TakeoverErrorKind::TimedOut)));
        }
        Successor::Without(Reason::Denied) => {
            let uid = predecessor.uid();
            return Err(fail(TakeoverErrorKind::Denied { uid }));
        }
        Successor::Without(Reason::Broken) => return Err(fail(TakeoverErrorKind::Broken)),
        _ => return Ok(Attempt::Ended),
    }
    let [listener, lock, control]: [OwnedFd; 3] = descriptors
        .try_into()
        .map_err(|_| fail(TakeoverErrorKind::Broken))?;
    succession.verify(Inheritance {
        listener,
        lock,
        control,
    })
}
