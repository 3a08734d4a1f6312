//! A relay that listens: clients until a signal or `--exit-idle`, then the report and the exit code.

use std::sync::Arc;
use std::time::Duration;

use sockeye::listener::SocketListener;
use sockeye::{Kind, NetListener};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::client_name::NamedSocket;
use super::datagrams;
use super::outcome::RelayOutcome;
use super::pairs::Pairs;
use super::port;
use super::sides::ListenSource;
use crate::args::{CredentialsName, RelayArgs};
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::socket::ServedSocket;
use crate::cmd::listening::startup::{Startup, stopped_early};
use crate::cmd::listening::{ListeningSide, received_fds, server};
use crate::exit::Exit;
use crate::output;

/// What a relay listens with.
enum RelayListener {
    Unix(ServedSocket),
    Net(NetListener),
}

pub(super) async fn serve(
    args: &RelayArgs,
    source: ListenSource<'_>,
    pairs: Pairs,
    mut startup: Startup,
    mut lifecycle: Lifecycle,
) -> anyhow::Result<Exit> {
    let opened = open(args, source, &pairs, &mut startup, &mut lifecycle).await?;
    let Some(listener) = opened else {
        return Ok(Exit::Done);
    };
    announce(args, &listener, &mut startup, &mut lifecycle);
    let address = args.listen_address.to_string();
    lifecycle.watch(&args.listen, &address, &startup.limit);
    let pairs = Arc::new(pairs);
    if let Some(limit) = args.exit_idle {
        let (pairs, stop) = (Arc::clone(&pairs), lifecycle.stop.clone());
        lifecycle.spawn(exit_idle(pairs, limit, stop));
    }
    let ended = match listener {
        RelayListener::Net(listener) => join_clients(args, listener, &pairs, &lifecycle).await,
        RelayListener::Unix(ServedSocket::Stream(listener)) => {
            join_clients(args, listener, &pairs, &lifecycle).await
        }
        RelayListener::Unix(ServedSocket::SeqPacket(listener)) => {
            join_clients(args, listener, &pairs, &lifecycle).await
        }
        RelayListener::Unix(ServedSocket::Datagram(socket)) => {
            datagrams::relay(args, socket, &pairs, &lifecycle).await?
        }
    };
    lifecycle.end();
    finish(ended, &pairs)
}

/// Opens the listening socket. `None` where a signal ends the relay before that.
async fn open(
    args: &RelayArgs,
    source: ListenSource<'_>,
    pairs: &Pairs,
    startup: &mut Startup,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<Option<RelayListener>> {
    let port = match source {
        ListenSource::Unix(address, _, kind) => {
            let side = ListeningSide {
                address,
                options: &args.listen,
                allows_fd_passing: pairs.allows_fd_passing(),
                reports_credentials: kind == Kind::Datagram
                    || args.credentials == CredentialsName::Client,
            };
            let opened = startup.open(&side, kind, lifecycle).await?;
            return Ok(opened.map(RelayListener::Unix));
        }
        ListenSource::InheritedPort(socket) => {
            let adopted = port::adopt(&args.listen_address.quoted(), socket)?;
            return Ok(Some(RelayListener::Net(adopted)));
        }
        ListenSource::Port(port) => port,
    };
    tokio::select! {
        biased;
        // To look up a name can take long.
        name = lifecycle.next_signal() => {
            stopped_early(name);
            Ok(None)
        }
        listener = port::listen(port, args.listen.backlog) => {
            Ok(Some(RelayListener::Net(listener?)))
        }
    }
}

fn announce(
    args: &RelayArgs,
    listener: &RelayListener,
    startup: &mut Startup,
    lifecycle: &mut Lifecycle,
) {
    match (listener, args.listen_address.unix()) {
        (RelayListener::Unix(socket), Some(address)) => {
            startup.announce(address, socket, lifecycle);
        }
        (RelayListener::Net(listener), _) => {
            lifecycle.connect_manager();
            let address = args.listen_address.to_string();
            let bound = listener.net_addr().map(|bound| bound.to_string());
            let beside = match bound {
                Ok(bound) if bound != address => format!(" ({bound})"),
                _ => String::new(),
            };
            startup.announce_name(&address, &beside, lifecycle);
        }
        (RelayListener::Unix(_), None) => {}
    }
}

async fn exit_idle(pairs: Arc<Pairs>, limit: Duration, stop: CancellationToken) {
    pairs.open.idle_for(limit).await;
    let limit = output::duration(limit);
    info!("stopping: nobody was connected for {limit} (--exit-idle)");
    stop.cancel();
}

/// Serves until the lifecycle stops it, then drains.
async fn join_clients<S: NamedSocket>(
    args: &RelayArgs,
    mut listener: SocketListener<S>,
    pairs: &Arc<Pairs>,
    lifecycle: &Lifecycle,
) -> RelayOutcome {
    // A message waits in its queue until there is room for its fds.
    listener.keep_accepting_fds();
    let mut server = server::server(&args.listen, lifecycle).task_per_handler();
    if pairs.target.is_one() {
        server = server.once();
    }
    let handle = |connection| Arc::clone(pairs).handle(connection);
    let stopped = lifecycle.stop.cancelled();
    match server.run(listener, handle, stopped).await {
        Ok(report) => RelayOutcome {
            report,
            error: None,
        },
        Err(error) => RelayOutcome {
            report: error.report(),
            error: Some(error.to_string()),
        },
    }
}

fn finish(ended: RelayOutcome, pairs: &Pairs) -> anyhow::Result<Exit> {
    let RelayOutcome { mut report, error } = ended;
    if let Some(error) = &error {
        error!("{error}; stopped");
    }
    pairs.log.tell_rest();
    received_fds::tell_unclosed();
    report.failed += pairs.log.failed();
    info!("stopped: {report}");
    pairs.check_stdio()?;
    let lost = report.aborted + report.failed + report.dropped_replies;
    Ok(match error {
        Some(_) => Exit::Failed,
        None if lost > 0 => Exit::Incomplete,
        None => Exit::Done,
    })
}
