//! [`TargetConnector`]: connects to a target for each client.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use sockeye::relay::{
    ClientConnector, ClientCredentials, CredentialsError, RelayAddress, RelayEnd, Targets,
};
use sockeye::{Address, Connector};

use super::one_connection::OneConnection;
use super::sides::TargetSide;
use super::stdio::StdioBridge;
use crate::args::{CredentialsName, RelayArgs};
use crate::exit::{Exit, failure};

pub(super) enum TargetConnector {
    Addresses(Connector, Targets),
    /// With the credentials of each client.
    AsClients(Connector, ClientConnector, Targets),
    /// Taken by the first client.
    One(RelayAddress, Mutex<Option<OneConnection>>),
}

/// A target that a client is to be joined to.
pub(super) struct ConnectedTarget {
    /// Which one.
    pub(super) index: usize,
    pub(super) end: RelayEnd,
    /// What joins it to standard input and output.
    pub(super) bridge: Option<StdioBridge>,
}

impl TargetConnector {
    pub(super) fn new(
        args: &RelayArgs,
        side: TargetSide,
        allows_fd_passing: bool,
    ) -> Result<Self, CredentialsError> {
        let connector = args.connector().allow_fd_passing(allows_fd_passing);
        Ok(match side {
            TargetSide::One(address, connection) => {
                Self::One(address, Mutex::new(Some(connection)))
            }
            TargetSide::Addresses(targets, _) if args.credentials == CredentialsName::Client => {
                let as_client = ClientConnector::new(connector.clone())?;
                Self::AsClients(connector, as_client, targets)
            }
            TargetSide::Addresses(targets, _) => Self::Addresses(connector, targets),
        })
    }

    /// Whether there is one connection only.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::One(..))
    }

    /// The address of a target.
    pub(super) fn address(&self, index: usize) -> &RelayAddress {
        match self {
            Self::Addresses(_, targets) | Self::AsClients(_, _, targets) => {
                &targets.addresses()[index]
            }
            Self::One(address, _) => address,
        }
    }

    /// The UNIX sockets among the targets.
    pub(super) fn unix(&self) -> impl Iterator<Item = &Address> {
        let addresses = match self {
            Self::Addresses(_, targets) | Self::AsClients(_, _, targets) => targets.addresses(),
            Self::One(..) => &[],
        };
        addresses.iter().filter_map(RelayAddress::unix)
    }

    /// A target for `client`, which is its socket if that is a UNIX socket.
    pub(super) async fn connect(
        &self,
        client: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<ConnectedTarget> {
        match self {
            Self::One(address, connection) => {
                let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(connection) = connection.take() else {
                    let address = address.quoted();
                    let text = format!("cannot connect to {address}: another client has it");
                    return Err(failure(Exit::Failed, text));
                };
                let (end, bridge) = connection.into_end("connect to", &address.quoted())?;
                let index = 0;
                Ok(ConnectedTarget { index, end, bridge })
            }
            Self::Addresses(connector, targets) => {
                let (address, socket) = targets.connect(connector).await?;
                Ok(ConnectedTarget::new(targets, address, socket.into()))
            }
            Self::AsClients(connector, as_client, targets) => {
                let Some(client) = client else {
                    return Err(failure(Exit::Usage, "the client has no peer credentials"));
                };
                let client = ClientCredentials::of(client)?;
                let attempt = |connector, address| {
                    let (as_client, client) = (as_client.with_connector(connector), &client);
                    async move { as_client.connect_target(address, client).await }
                };
                let (address, socket) = targets.connect_with(connector, attempt).await?;
                Ok(ConnectedTarget::new(targets, address, socket.into()))
            }
        }
    }
}

impl ConnectedTarget {
    fn new(targets: &Targets, address: &RelayAddress, end: RelayEnd) -> Self {
        let is_it = |other: &RelayAddress| std::ptr::eq(other, address);
        let index = targets.addresses().iter().position(is_it);
        Self {
            index: index.unwrap_or_default(),
            end,
            bridge: None,
        }
    }
}
