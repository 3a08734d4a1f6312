//! A relay with one client, which is connected already.

use sockeye::relay::{DirectionEnd, RelayAddress, RelayReport};
use tracing::warn;

use super::one_connection::OneConnection;
use super::pairs::Pairs;
use crate::args::RelayArgs;
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::startup::{Startup, stopped_early};
use crate::exit::{Exit, failure};

/// Joins it to a target and ends with them.
pub(super) async fn join(
    args: &RelayArgs,
    client: OneConnection,
    pairs: Pairs,
    mut startup: Startup,
    mut lifecycle: Lifecycle,
) -> anyhow::Result<Exit> {
    let address = args.listen_address.quoted();
    let connected = tokio::select! {
        biased;
        signal = lifecycle.next_signal() => {
            stopped_early(signal);
            return Ok(Exit::Done);
        }
        connected = pairs.target.connect(client.as_unix()) => connected?,
    };
    let name = client.name();
    let (end, bridge) = client.into_end("relay", &address)?;
    lifecycle.watch(&args.listen, &address, &startup.limit);
    startup.tell_ready();
    let mut pair = pairs.join(name, end, connected);
    if let Some(bridge) = bridge {
        pair.bridge = Some(Box::new(bridge));
    }
    let target = pairs.target.address(pair.target);
    let report = tokio::select! {
        report = pairs.run(pair) => report,
        () = lifecycle.drained() => None,
    };
    lifecycle.end();
    pairs.check_stdio()?;
    match report {
        Some(report) => outcome(&report, target),
        None => {
            if pairs.log.failed() == 0 {
                warn!("{name}: joined to {}: aborted", target.quoted());
            }
            Ok(Exit::Incomplete)
        }
    }
}

/// The exit code of a connection that has ended.
fn outcome(report: &RelayReport, target: &RelayAddress) -> anyhow::Result<Exit> {
    if report.failure.is_some() {
        return Ok(Exit::Incomplete);
    }
    let to_target = &report.to_target;
    let has_lost = to_target.lost_bytes + to_target.lost_records > 0;
    let was_reset = report.to_client.end == DirectionEnd::Reset;
    let is_unread = to_target.end == DirectionEnd::ReaderGone && has_lost;
    if was_reset || is_unread {
        let target = target.quoted();
        return Err(failure(
            Exit::Failed,
            format!(
                "cannot relay to {target}: it closed the connection before it had read everything (reset); its log may say why"
            ),
        ));
    }
    Ok(Exit::Done)
}
