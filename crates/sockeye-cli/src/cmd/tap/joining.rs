//! [`TapJoiner`]: joins each client to the server, and counts what was lost.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sockeye::listener::ConnectedSocket;
use sockeye::peer::AllowedPeers;
use sockeye::relay::{
    ClientConnector, ClientCredentials, CredentialsError, FdPolicy, ObserverHandle, Relay,
    RelayAddress, RelayEnd, TargetSocket,
};
use sockeye::server::Connection;
use sockeye::{Address, Connector, Peer};
use tracing::{debug, warn};

use crate::args::{TapArgs, TapCredentials};
use crate::output::message::MessageSender;
use crate::stdio::log::LineQuota;

/// More than a record can have (`SO_SNDBUFFORCE` aside): a tap refuses nothing that the server would take.
pub(super) const MAX_RECORD: usize = 16 << 20;

pub(super) struct TapJoiner {
    relay: Relay,
    connector: Connector,
    as_client: Option<ClientConnector>,
    server: RelayAddress,
    /// What the log calls it.
    name: String,
    quota: LineQuota,
    /// Connections that the tap has ended with an error.
    failed: AtomicU64,
}

/// Whether the server is to see the credentials of the clients.
pub(super) fn has_client_credentials(args: &TapArgs) -> bool {
    match args.credentials {
        Some(credentials) => credentials == TapCredentials::Client,
        None => rustix::process::geteuid().is_root() && !args.as_me,
    }
}

/// Who may connect, where the server takes all of them for us.
pub(super) fn allowed(args: &TapArgs) -> Option<AllowedPeers> {
    let is_safe = args.as_me || has_client_credentials(args);
    (!is_safe).then(|| AllowedPeers::new().same_user())
}

impl TapJoiner {
    pub(super) fn new(
        args: &TapArgs,
        server: &Address,
        observer: &ObserverHandle,
    ) -> anyhow::Result<Self> {
        let mut relay = Relay::new().fds(FdPolicy::Pass).max_record(MAX_RECORD);
        relay = relay.observe(observer.clone());
        // A client waits for a server with a full backlog as long as without a tap.
        let connector = Connector::new()
            .allow_fd_passing(true)
            .connect_timeout(Duration::MAX);
        let as_client = has_client_credentials(args)
            .then(|| ClientConnector::new(connector.clone()))
            .transpose()?;
        if as_client.is_some() {
            relay = relay.forward_credentials();
        }
        Ok(Self {
            relay,
            connector,
            as_client,
            server: RelayAddress::Unix(server.clone()),
            name: args.address.quoted(),
            quota: LineQuota::new(),
            failed: AtomicU64::new(0),
        })
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) async fn handle<S>(self: Arc<Self>, connection: Connection<S>)
    where
        S: ConnectedSocket,
        Connection<S>: AsFd + Into<RelayEnd>,
    {
        let peer = Peer::of(connection.as_fd()).ok();
        let client = || MessageSender::new(peer).describe();
        let credentials = self.credentials(&connection);
        let server = match self.connect(credentials).await {
            Ok(server) => server,
            Err(error) => {
                if self.quota.pass() {
                    warn!("{}: {error}; its connection is closed", client());
                }
                return;
            }
        };
        match self.relay.join(connection, server).await {
            Ok(report) => {
                if let Some(failure) = &report.failure {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    if self.quota.pass() {
                        warn!("{}: {failure}; the connection is aborted", client());
                    }
                }
                debug!("{}: ended: {report:?}", client());
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if self.quota.pass() {
                    warn!("{}: {error}; its connection is closed", client());
                }
            }
        }
    }

    /// Those that the server is to see, if they are not ours.
    fn credentials(
        &self,
        client: impl AsFd,
    ) -> Result<Option<ClientCredentials>, CredentialsError> {
        let taken = self.as_client.as_ref();
        taken.map(|_| ClientCredentials::of(client)).transpose()
    }

    async fn connect(
        &self,
        credentials: Result<Option<ClientCredentials>, CredentialsError>,
    ) -> anyhow::Result<RelayEnd> {
        let connected = match (&self.as_client, credentials?) {
            (Some(as_client), Some(credentials)) => {
                as_client.connect_target(&self.server, &credentials).await
            }
            _ => self.connector.connect_target(&self.server).await,
        };
        let server: TargetSocket = connected.map_err(|error| {
            // Nobody knows it by the fd that leads there.
            let text = error.to_string();
            anyhow::Error::msg(text.replace(&self.server.quoted(), &self.name))
        })?;
        Ok(server.into())
    }

    /// Says how many lines were withheld.
    pub(super) fn tell_rest(&self) {
        self.quota.tell_rest();
    }
}
