//! [`Pairs`]: joins each client to a target.

use std::sync::{Arc, Mutex, PoisonError};

use sockeye::relay::{FdPolicy, Relay, RelayEnd, RelayError, RelayJoin, RelayReport};
use sockeye::server::Connection;
use tracing::{Level, debug, enabled};

use super::client_name::{ClientName, NamedSocket};
use super::exit_idle::{OpenConnection, OpenConnections};
use super::relay_log::RelayLog;
use super::sides::TargetSide;
use super::stdio::{StdioBridge, StdioFailure};
use super::target::{ConnectedTarget, TargetConnector};
use crate::args::{CredentialsName, RelayArgs};

pub(super) struct Pairs {
    relay: Relay,
    fds: FdPolicy,
    pub(super) target: TargetConnector,
    pub(super) log: RelayLog,
    pub(super) open: OpenConnections,
    stdio_failure: Mutex<Option<StdioFailure>>,
}

/// A client and its target.
pub(super) struct OpenPair {
    pub(super) client: ClientName,
    /// Which one.
    pub(super) target: usize,
    join: RelayJoin,
    /// What joins one of the sides to standard input and output.
    pub(super) bridge: Option<Box<StdioBridge>>,
    /// Counts it as open.
    open: Option<OpenConnection>,
}

impl Pairs {
    pub(super) fn new(args: &RelayArgs, fds: FdPolicy, target: TargetSide) -> anyhow::Result<Self> {
        let mut relay = Relay::new().fds(fds).max_record(args.max_record);
        if let Some(timeout) = args.half_close_timeout {
            relay = relay.half_close_timeout(timeout);
        }
        if args.credentials == CredentialsName::Client {
            relay = relay.forward_credentials();
        }
        Ok(Self {
            relay,
            fds,
            target: TargetConnector::new(args, target, fds != FdPolicy::Refuse)?,
            log: RelayLog::new(),
            open: OpenConnections::new(),
            stdio_failure: Mutex::new(None),
        })
    }

    pub(super) fn fds(&self) -> FdPolicy {
        self.fds
    }

    pub(super) fn allows_fd_passing(&self) -> bool {
        self.fds != FdPolicy::Refuse
    }

    /// Joins a client to a target. There may be thousands of these futures: each keeps what an open
    /// pair needs, and all else is in boxes that are gone by then.
    pub(super) fn handle<S: NamedSocket>(
        self: Arc<Self>,
        connection: Connection<S>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let begun = Box::pin(Arc::clone(&self).begin(connection));
        async move {
            let Some(mut pair) = begun.await else {
                return;
            };
            if pair.bridge.is_some() {
                Box::pin(self.run(pair)).await;
            } else {
                let ended = (&mut pair.join).await;
                self.log_end(&pair, &ended);
            }
        }
    }

    /// Connects to a target; `None` where that fails, and the client is closed.
    async fn begin<S: NamedSocket>(
        self: Arc<Self>,
        mut connection: Connection<S>,
    ) -> Option<OpenPair> {
        let open = self.open.enter();
        let client = S::name(&connection);
        match self.target.connect(S::unix(&connection)).await {
            Ok(target) => {
                let mut pair = self.join(client, connection.into(), target);
                pair.open = Some(open);
                Some(pair)
            }
            Err(error) => {
                connection.mark_aborted();
                self.log.not_joined(&client, &error);
                None
            }
        }
    }

    /// Joins two sides; the future of the pair is still to be awaited.
    pub(super) fn join(
        &self,
        client: ClientName,
        mut client_end: RelayEnd,
        mut target: ConnectedTarget,
    ) -> OpenPair {
        if enabled!(Level::DEBUG)
            && let Ok([to_target, to_client]) = self.relay.paths(&mut client_end, &mut target.end)
        {
            let target = self.target.address(target.index).quoted();
            debug!(
                "{client}: joined to {target} (to the target: {to_target}, to the client: {to_client})"
            );
        }
        OpenPair {
            client,
            target: target.index,
            join: self.relay.join(client_end, target.end),
            bridge: target.bridge.map(Box::new),
            open: None,
        }
    }

    /// Waits for the end of a pair and logs it. What came for standard output is written before this
    /// completes. `None` where the two sides do not fit, or standard input or output has failed.
    pub(super) async fn run(&self, mut pair: OpenPair) -> Option<RelayReport> {
        let Some(bridge) = pair.bridge.take() else {
            let ended = (&mut pair.join).await;
            self.log_end(&pair, &ended);
            return ended.ok();
        };
        let ended = tokio::select! {
            ended = &mut pair.join => Some(ended),
            () = bridge.failed() => None,
        };
        if let Some(ended) = &ended {
            self.log_end(&pair, ended);
        }
        // Closes both sides, where the pair has not ended.
        drop(pair);
        if let Some(failure) = bridge.finish().await {
            let failed = &self.stdio_failure;
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(failure);
        }
        ended?.ok()
    }

    fn log_end(&self, pair: &OpenPair, ended: &Result<RelayReport, RelayError>) {
        match ended {
            Ok(report) => {
                let target = self.target.address(pair.target);
                self.log.ended(&pair.client, target, report);
            }
            Err(error) => self.log.not_joined(&pair.client, error),
        }
    }

    /// Why standard input or output has failed, if it has.
    pub(super) fn check_stdio(&self) -> anyhow::Result<()> {
        let mut found = self
            .stdio_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match found.take() {
            Some(failure) => Err(failure.into_error()),
            None => Ok(()),
        }
    }
}
