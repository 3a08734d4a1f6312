//! Datagrams: senders instead of connections.

use sockeye::Datagram;
use sockeye::relay::{DatagramRelay, DatagramRelayError};

use super::outcome::RelayOutcome;
use super::pairs::Pairs;
use crate::args::{CredentialsName, RelayArgs};
use crate::cmd::listening::allowed::allowed_peers;
use crate::cmd::listening::lifecycle::Lifecycle;

/// Relays until the lifecycle stops it, then drains.
pub(super) async fn relay(
    args: &RelayArgs,
    socket: Datagram,
    pairs: &Pairs,
    lifecycle: &Lifecycle,
) -> Result<RelayOutcome, DatagramRelayError> {
    let mut relay = DatagramRelay::new(pairs.target.unix().cloned())
        .fds(pairs.fds())
        .max_record(args.max_record)
        .send_timeout(args.connect_timeout)
        .drain_timeout(args.listen.drain)
        .abort_on(lifecycle.abort.clone());
    if args.credentials == CredentialsName::Client {
        relay = relay.forward_credentials();
    }
    if let Some(allowed) = allowed_peers(&args.listen.allow_users, &args.listen.allow_groups) {
        relay = relay.allow(allowed);
    }
    if let Some(most) = args.listen.max_connections {
        relay = relay.max_senders(most);
    }
    if let Some(timeout) = args.listen.idle_timeout {
        relay = relay.idle_timeout(timeout);
    }
    let stopped = lifecycle.stop.cancelled();
    match relay.run(socket, stopped).await {
        Ok(report) => Ok(RelayOutcome {
            report: report.summary(),
            error: None,
        }),
        Err(error @ DatagramRelayError::Receive { .. }) => Ok(RelayOutcome {
            report: error.report().summary(),
            error: Some(error.to_string()),
        }),
        Err(error) => Err(error),
    }
}
