//! `systemd:NAME`: socket activation (`LISTEN_FDS`).

use std::os::fd::{AsFd, OwnedFd};

use sockeye::activation::{self, ActivationError};
use sockeye::adopt::{self, AdoptError};
use sockeye::{Address, Kind};

use crate::exit::{Exit, failure};

/// Takes the socket that was passed as `name`, the only one if that is empty. To be called before
/// anything is opened: the numbers of all passed sockets are closed, also of those not asked for.
pub(super) fn take(address: &Address, name: &str) -> anyhow::Result<OwnedFd> {
    let cannot = |exit, why: &str| {
        failure(
            exit,
            format!("cannot listen on {}: {why}", address.quoted()),
        )
    };
    let cannot_take = |error: ActivationError| {
        let exit = match error {
            ActivationError::NonePassed | ActivationError::NoSuchName { .. } => Exit::NothingThere,
            _ => Exit::Usage,
        };
        cannot(exit, &error.to_string())
    };
    let passed = activation::passed().map_err(cannot_take)?;
    for socket in &passed {
        nix::unistd::close(socket.number).map_err(|error| {
            let number = socket.number;
            let why = format!("closing descriptor {number} failed: {error}; pass a socket");
            cannot(Exit::Failed, &why)
        })?;
    }
    let socket = activation::select(passed, name).map_err(cannot_take)?;
    Ok(socket.fd)
}

/// The kind to serve: the socket's own, unless the address insists on one.
pub(super) fn kind(address: &Address, socket: impl AsFd) -> Result<Kind, AdoptError> {
    let insists = address.has_written_kind();
    match adopt::kind(socket)? {
        Some(kind) if !insists => Ok(kind),
        Some(_) => Ok(address.kind()),
        None => Err(AdoptError::WrongKind {
            actual: None,
            wanted: address.kind(),
        }),
    }
}
