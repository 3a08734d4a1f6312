//! `systemd:NAME`: socket activation (`LISTEN_FDS`).

use std::os::fd::{AsFd, OwnedFd};

use sockeye::activation::{self, ActivationError, Passed};
use sockeye::adopt::{self, AdoptError};
use sockeye::{Address, Kind};

use crate::exit::{Exit, failure};

/// The sockets that were passed to this process, once one is asked for.
#[derive(Default)]
pub(super) struct PassedSockets(Option<Vec<Passed>>);

impl PassedSockets {
    /// Takes the socket that was passed as `name`, the only one if that is empty. To be called before
    /// anything is opened: the numbers of all passed sockets are closed, also of those not asked for.
    pub(super) fn take(
        &mut self,
        tried: &str,
        address: &Address,
        name: &str,
    ) -> anyhow::Result<OwnedFd> {
        let cannot =
            |exit, why: &str| failure(exit, format!("cannot {tried} {}: {why}", address.quoted()));
        let cannot_take = |error: ActivationError| {
            let exit = match error {
                ActivationError::NonePassed | ActivationError::NoSuchName { .. } => {
                    Exit::NothingThere
                }
                _ => Exit::Usage,
            };
            cannot(exit, &error.to_string())
        };
        let passed = match self.0.take() {
            Some(passed) => passed,
            None => {
                let passed = activation::passed().map_err(cannot_take)?;
                for socket in &passed {
                    nix::unistd::close(socket.number).map_err(|error| {
                        let number = socket.number;
                        let why =
                            format!("closing descriptor {number} failed: {error}; pass a socket");
                        cannot(Exit::Failed, &why)
                    })?;
                }
                passed
            }
        };
        // Another address may name one too.
        let copy = |socket: &Passed| {
            let (name, number) = (socket.name.clone(), socket.number);
            let fd = socket.fd.try_clone()?;
            Ok(Passed { name, number, fd })
        };
        let copies: Result<Vec<Passed>, std::io::Error> = passed.iter().map(copy).collect();
        let copies = copies.map_err(|error| cannot(Exit::Failed, &error.to_string()))?;
        self.0 = Some(passed);
        let socket = activation::select(copies, name).map_err(cannot_take)?;
        Ok(socket.fd)
    }
}

/// The kind to serve: the socket's own, unless the address insists on one.
pub(crate) fn kind(address: &Address, socket: impl AsFd) -> Result<Kind, AdoptError> {
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
