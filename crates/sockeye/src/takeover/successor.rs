//! [`Succession`]: the side of the server that comes.

use std::os::fd::OwnedFd;

use super::connection::Connection;
use super::error::{TakeoverError, TakeoverErrorKind};
use super::frame::Frame;
use super::machine::{Reason, Successor};
use crate::address::Address;
use crate::claim::{ClaimOptions, Inheritance, Ownership};
use crate::connect::{ConnectErrorKind, Connector};
use crate::listener::{Accepted, Listening};
use crate::peer::Peer;

/// What became of an attempt.
pub(super) enum Attempt<S> {
    Taken(Box<Listening<S>>),
    /// There is no control socket.
    NotOffered,
    /// The server does not answer there, or does not any more.
    Ended,
}

/// A takeover on its last step: the predecessor waits to hear that we serve.
pub(crate) struct Succession {
    connection: Connection,
    predecessor: Peer,
    side: Successor,
}

impl Succession {
    pub(crate) fn predecessor(&self) -> Peer {
        self.predecessor
    }

    /// Says that clients are served from now on.
    pub(crate) fn complete(mut self) {
        if let Some(frame) = self.side.serve() {
            self.connection.say(frame, &[]);
        }
    }

    /// Waits for one more event, with descriptors.
    async fn step(&mut self, address: &Address) -> Result<Vec<OwnedFd>, TakeoverError> {
        let (event, descriptors) = self
            .connection
            .event()
            .await
            .map_err(|error| TakeoverError::io(address, error))?;
        self.side.on(event);
        Ok(descriptors)
    }
}

/// Asks at the control socket.
pub(super) async fn attempt<S: Accepted>(
    address: &Address,
    control: &Address,
    options: &ClaimOptions,
) -> Result<Attempt<S>, TakeoverError> {
    let fail = |kind| TakeoverError::new(address, kind);
    let connector = Connector::new().connect_timeout(super::STEP);
    let socket = match connector.connect_seqpacket(control).await {
        Ok(socket) => socket,
        Err(error) => {
            return match error.kind() {
                ConnectErrorKind::Absent => Ok(Attempt::NotOffered),
                // It has been killed, it stops, or it starts.
                ConnectErrorKind::Stale | ConnectErrorKind::NotListening { .. } => {
                    Ok(Attempt::Ended)
                }
                _ => Err(TakeoverError::connect(address, error)),
            };
        }
    };
    let predecessor = socket
        .peer()
        .map_err(|error| TakeoverError::io(address, error))?;
    // Root asks for it by name; anybody else could be given a socket that others listen on.
    let own = rustix::process::geteuid().as_raw();
    let is_ours = predecessor.uid().is_some_and(|uid| [0, own].contains(&uid));
    if !is_ours && own != 0 {
        return Err(fail(TakeoverErrorKind::ForeignServer {
            uid: predecessor.uid(),
        }));
    }
    let mut succession = Succession {
        connection: Connection::new(socket),
        predecessor,
        side: Successor::Asked,
    };
    succession.connection.say(Frame::Hello, &[]);
    let descriptors = succession.step(address).await?;
    if succession.side != Successor::Offered {
        return without(&succession, address);
    }
    let [listener, lock, control]: [OwnedFd; 3] = descriptors
        .try_into()
        .map_err(|_| fail(TakeoverErrorKind::Broken))?;
    let passed = Inheritance {
        listener,
        lock,
        control,
    };
    let (ownership, socket) = Ownership::inherit(address, passed).map_err(|error| match error {
        Ok(mismatch) => fail(TakeoverErrorKind::Mismatch(mismatch)),
        Err(error) => TakeoverError::claim(error),
    })?;
    let listener = Listening::inherited(socket, ownership)
        .map_err(|error| TakeoverError::io(address, error))?;
    if let Some(frame) = succession.side.verified() {
        succession.connection.say(frame, &[]);
    }
    succession.step(address).await?;
    // One that has ended in order has removed its files.
    if succession.side != Successor::Owner || !listener.is_intact() {
        return without(&succession, address);
    }
    listener
        .settle(address, options)
        .map_err(TakeoverError::claim)?;
    Ok(Attempt::Taken(Box::new(listener.succeeding(succession))))
}

fn without<S>(succession: &Succession, address: &Address) -> Result<Attempt<S>, TakeoverError> {
    let kind = match succession.side {
        Successor::Without(Reason::TimedOut) => TakeoverErrorKind::TimedOut,
        Successor::Without(Reason::Broken) => TakeoverErrorKind::Broken,
        _ => return Ok(Attempt::Ended),
    };
    Err(TakeoverError::new(address, kind))
}
