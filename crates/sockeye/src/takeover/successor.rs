//! [`attempt`]: the successor's side.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use tokio::time::Instant;

use super::Takeover;
use crate::address::Address;
use crate::claim::{Inheritance, Ownership};
use crate::connect::{ConnectErrorKind, Connector};
use crate::handover::{
    ControlConnection, Frame, PendingTakeover, Reason, Successor, TakeoverError, TakeoverErrorKind,
};
use crate::listener::{ConnectedSocket, SocketListener};
use crate::packet::SeqPacket;

/// What became of an attempt.
pub(super) enum Attempt<S> {
    Taken(Box<SocketListener<S>>),
    /// There is no control socket.
    NotOffered,
    /// The socket there is another server's.
    Foreign,
    /// The server does not answer there, or does not any more.
    Ended,
    /// Another attempt may succeed. If none does, this is why.
    Failed(TakeoverError),
}

/// Asks at the control socket.
pub(super) async fn attempt<S: ConnectedSocket>(
    takeover: &Takeover,
    address: &Address,
    control: &Address,
    deadline: Instant,
) -> Result<Attempt<S>, TakeoverError> {
    let socket = match connect(address, control, deadline).await? {
        Ok(socket) => socket,
        Err(attempt) => return Ok(attempt),
    };
    let predecessor = socket
        .peer()
        .map_err(|error| TakeoverError::io(address, error))?;
    if !takeover.trusts(&predecessor) {
        let kind = TakeoverErrorKind::ForeignServer {
            uid: predecessor.uid(),
        };
        return Err(TakeoverError::new(address, kind));
    }
    let mut pending = PendingTakeover {
        connection: ControlConnection::new(socket),
        predecessor,
        side: Successor::Asked,
        claim: takeover.claim.clone(),
        trusted: takeover.trusted.clone(),
        address: address.clone(),
    };
    pending.connection.say(Frame::Hello, &[]);
    let descriptors = pending.step(deadline).await?;
    if let Some(attempt) = without_offer(&pending)? {
        return Ok(attempt);
    }
    let [listener, lock, control]: [OwnedFd; 3] = descriptors
        .try_into()
        .map_err(|_| TakeoverError::new(address, TakeoverErrorKind::ProtocolViolation))?;
    verify(
        pending,
        Inheritance {
            listener,
            lock,
            control,
        },
    )
}

/// Connects to the control socket, or says what came of the attempt without it.
async fn connect<S>(
    address: &Address,
    control: &Address,
    deadline: Instant,
) -> Result<Result<SeqPacket, Attempt<S>>, TakeoverError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let connector = Connector::new().connect_timeout(left);
    let error = match connector.connect_seqpacket(control).await {
        Ok(socket) => return Ok(Ok(socket)),
        Err(error) => error,
    };
    match error.kind() {
        ConnectErrorKind::Absent => Ok(Err(Attempt::NotOffered)),
        // It has been killed, it stops, or it starts.
        ConnectErrorKind::Stale | ConnectErrorKind::NotListening { .. } => Ok(Err(Attempt::Ended)),
        ConnectErrorKind::WrongKind { .. } => Ok(Err(Attempt::Foreign)),
        ConnectErrorKind::BacklogFull => {
            Ok(Err(Attempt::Failed(TakeoverError::connect(address, error))))
        }
        _ => Err(TakeoverError::connect(address, error)),
    }
}

/// What came of the attempt, unless the predecessor has made an offer.
fn without_offer<S>(pending: &PendingTakeover) -> Result<Option<Attempt<S>>, TakeoverError> {
    let fail = |kind| TakeoverError::new(&pending.address, kind);
    match pending.side {
        Successor::Offered => Ok(None),
        Successor::Without(Reason::TimedOut) => {
            Ok(Some(Attempt::Failed(fail(TakeoverErrorKind::TimedOut))))
        }
        Successor::Without(Reason::Denied) => {
            let uid = pending.predecessor.uid();
            Err(fail(TakeoverErrorKind::Denied { uid }))
        }
        Successor::Without(Reason::ProtocolViolation) => {
            Err(fail(TakeoverErrorKind::ProtocolViolation))
        }
        _ => Ok(Some(Attempt::Ended)),
    }
}

/// Checks what was offered, and whether the rest can succeed, and says that we are ready.
fn verify<S: ConnectedSocket>(
    mut pending: PendingTakeover,
    passed: Inheritance,
) -> Result<Attempt<S>, TakeoverError> {
    let (address, claim) = (&pending.address, &pending.claim);
    let (ownership, socket) = match Ownership::inherit(address, claim, passed) {
        Ok(inherited) => inherited,
        // The predecessor may have ended meanwhile, and another server have the path.
        Err(Ok(mismatch)) => {
            let kind = TakeoverErrorKind::Mismatch(mismatch);
            return Ok(Attempt::Failed(TakeoverError::new(address, kind)));
        }
        Err(Err(error)) => return Err(TakeoverError::claim(error)),
    };
    if let Err(error) = ownership.check_owner() {
        return Err(TakeoverError::claim(error));
    }
    let listener = SocketListener::inherited(socket, ownership, claim.allows_fd_passing())
        .map_err(|error| TakeoverError::io(address, error))?;
    let connection = &pending.connection;
    let mut said = Ok(());
    pending.side.verified(|frame| {
        said = connection.try_to_say(frame, &[]);
        said.is_ok()
    });
    // A predecessor that reads no more has said why, or has died and left everything to us.
    if said.map_or_else(|error| error.kind() == ErrorKind::BrokenPipe, |()| true) {
        return Ok(Attempt::Taken(Box::new(listener.pending(pending))));
    }
    Ok(Attempt::Ended)
}
