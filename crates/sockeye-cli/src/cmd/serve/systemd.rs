//! `serve systemd:NAME`: socket activation (`LISTEN_FDS`).

use std::os::fd::{AsFd, OwnedFd};

use sockeye::activation::{self, Passed};
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
    let passed = activation::passed().map_err(|error| cannot(Exit::Usage, &error.to_string()))?;
    for socket in &passed {
        nix::unistd::close(socket.number).map_err(|error| {
            let number = socket.number;
            let why = format!("closing descriptor {number} failed: {error}; pass a socket");
            cannot(Exit::Failed, &why)
        })?;
    }
    if passed.is_empty() {
        let why = "no socket was passed to this process; start it by a .socket unit, or by systemd-socket-activate";
        return Err(cannot(Exit::NothingThere, why));
    }
    let names: Vec<&str> = passed.iter().map(|socket| socket.name.as_str()).collect();
    let names = names.join(", ");
    let is_meant = |socket: &Passed| name.is_empty() || socket.name == name;
    let mut meant = passed.into_iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(socket), None) => Ok(socket.fd),
        (None, _) => {
            let why = format!("no socket of this name was passed; there is {names}");
            Err(cannot(Exit::NothingThere, &why))
        }
        (Some(_), Some(_)) if name.is_empty() => {
            let why = format!("several sockets were passed; add the name of one: {names}");
            Err(cannot(Exit::Usage, &why))
        }
        (Some(_), Some(_)) => {
            let why = "several sockets of this name were passed; put each into a .socket unit of its own, with its FileDescriptorName=";
            Err(cannot(Exit::Usage, why))
        }
    }
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
