//! [`TargetConnector`]: connects to a target for each client.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use sockeye::Connector;
use sockeye::relay::{RelayAddress, RelayEnd, Targets};

use super::one_connection::OneConnection;
use super::sides::TargetSide;
use super::stdio::StdioBridge;
use crate::args::RelayArgs;
use crate::exit::{Exit, failure};

pub(super) enum TargetConnector {
    Addresses(Connector, Targets),
    /// Taken by the first client.
    One(RelayAddress, Mutex<Option<OneConnection>>),
}

/// A target that a client is to be joined to.
pub(super) struct ConnectedTarget<'a> {
    pub(super) address: &'a RelayAddress,
    pub(super) end: RelayEnd,
    /// What joins it to standard input and output.
    pub(super) bridge: Option<StdioBridge>,
}

impl TargetConnector {
    pub(super) fn new(args: &RelayArgs, side: TargetSide, allows_fd_passing: bool) -> Self {
        match side {
            TargetSide::One(address, connection) => {
                Self::One(address, Mutex::new(Some(connection)))
            }
            TargetSide::Addresses(targets, _) => {
                let connector = args.connector().allow_fd_passing(allows_fd_passing);
                Self::Addresses(connector, targets)
            }
        }
    }

    /// Whether there is one connection only.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::One { .. })
    }

    /// A target for `client`, which is its socket if that is a UNIX socket.
    pub(super) async fn connect(
        &self,
        client: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<ConnectedTarget<'_>> {
        let _ = client;
        match self {
            Self::One(address, connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(connection) = connection.take() else {
                    let address = address.quoted();
                    let text = format!("cannot connect to {address}: another client has it");
                    return Err(failure(Exit::Failed, text));
                };
                let (end, bridge) = connection.into_end("connect to", &address.quoted())?;
                Ok(ConnectedTarget {
                    address,
                    end,
                    bridge,
                })
            }
            Self::Addresses(connector, targets) => {
                let (address, socket) = targets.connect(connector).await?;
                Ok(ConnectedTarget {
                    address,
                    end: socket.into(),
                    bridge: None,
                })
            }
        }
    }
}
