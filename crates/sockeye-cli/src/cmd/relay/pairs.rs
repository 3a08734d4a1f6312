//! [`Pairs`]: joins each client to a target.

use std::sync::{Arc, Mutex, PoisonError};

use sockeye::relay::{FdPolicy, Relay, RelayEnd, RelayReport};
use sockeye::server::Connection;
use tracing::{Level, debug, enabled};

use super::exit_idle::OpenConnections;
use super::names::{NamedSocket, PairNames};
use super::relay_log::RelayLog;
use super::sides::TargetSide;
use super::stdio::{StdioBridge, StdioFailure};
use super::target::TargetConnector;
use crate::args::{CredentialsName, RelayArgs};

pub(super) struct Pairs {
    relay: Relay,
    fds: FdPolicy,
    pub(super) target: TargetConnector,
    pub(super) log: RelayLog,
    pub(super) open: OpenConnections,
    stdio_failure: Mutex<Option<StdioFailure>>,
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
            target: TargetConnector::new(args, target, fds != FdPolicy::Refuse),
            log: RelayLog::new(),
            open: OpenConnections::new(),
            stdio_failure: Mutex::new(None),
        })
    }

    pub(super) fn allows_fd_passing(&self) -> bool {
        self.fds != FdPolicy::Refuse
    }

    pub(super) async fn handle<S: NamedSocket>(self: Arc<Self>, mut connection: Connection<S>) {
        let _open = self.open.enter();
        let client = S::name(&connection);
        // Only what an open pair needs is kept in this future.
        let connect = Box::pin(self.target.connect(S::unix(&connection)));
        let target = match connect.await {
            Ok(target) => target,
            Err(error) => {
                connection.mark_aborted();
                return self.log.not_joined(&client, &error);
            }
        };
        let names = PairNames {
            client: &client,
            target: target.address,
        };
        let end = RelayEnd::from(connection);
        match target.bridge {
            None => drop(self.join(names, end, target.end).await),
            Some(bridge) => {
                let join = self.join_stdio(names, end, target.end, bridge);
                drop(Box::pin(join).await);
            }
        }
    }

    /// Joins two sides and logs how that ended; `None` where they do not fit.
    pub(super) async fn join(
        &self,
        names: PairNames<'_>,
        mut client: RelayEnd,
        mut target: RelayEnd,
    ) -> Option<RelayReport> {
        if enabled!(Level::DEBUG)
            && let Ok([to_target, to_client]) = self.relay.paths(&mut client, &mut target)
        {
            let (client, target) = (names.client, names.target.quoted());
            debug!(
                "{client}: joined to {target} (to the target: {to_target}, to the client: {to_client})"
            );
        }
        match self.relay.join(client, target).await {
            Ok(report) => {
                self.log.ended(names, &report);
                Some(report)
            }
            Err(error) => {
                self.log.not_joined(names.client, &error);
                None
            }
        }
    }

    /// As [`Self::join`], where one of the sides is `bridge`. What came is written to standard output
    /// before this completes.
    pub(super) async fn join_stdio(
        &self,
        names: PairNames<'_>,
        client: RelayEnd,
        target: RelayEnd,
        bridge: StdioBridge,
    ) -> Option<RelayReport> {
        let report = tokio::select! {
            report = self.join(names, client, target) => report,
            () = bridge.input_failed.cancelled() => None,
        };
        if let Some(failure) = bridge.finish().await {
            let mut found = self
                .stdio_failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            found.get_or_insert(failure);
        }
        report
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
