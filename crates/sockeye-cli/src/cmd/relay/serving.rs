//! A relay that listens: clients until a signal or `--exit-idle`, then the report and the exit code.

use std::sync::Arc;
use std::time::Duration;

use sockeye::NetListener;
use sockeye::listener::SocketListener;
use sockeye::server::{Report, ServerError};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::names::NamedSocket;
use super::pairs::Pairs;
use super::port;
use super::sides::ListenSource;
use crate::args::RelayArgs;
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
    let result = match listener {
        RelayListener::Net(listener) => join_clients(args, listener, &pairs, &lifecycle).await,
        RelayListener::Unix(ServedSocket::Stream(listener)) => {
            join_clients(args, listener, &pairs, &lifecycle).await
        }
        RelayListener::Unix(ServedSocket::SeqPacket(listener)) => {
            join_clients(args, listener, &pairs, &lifecycle).await
        }
        // Refused with the arguments.
        RelayListener::Unix(ServedSocket::Datagram(_)) => Ok(Report::default()),
    };
    lifecycle.end();
    finish(&result, &pairs)
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
) -> Result<Report, ServerError> {
    // A message waits in its queue until there is room for its fds.
    listener.keep_accepting_fds();
    let mut server = server::server(&args.listen, lifecycle);
    if pairs.target.is_one() {
        server = server.once();
    }
    let handle = |connection| Arc::clone(pairs).handle(connection);
    let stopped = lifecycle.stop.cancelled();
    server.run(listener, handle, stopped).await
}

fn finish(result: &Result<Report, ServerError>, pairs: &Pairs) -> anyhow::Result<Exit> {
    let mut report = match result {
        Ok(report) => *report,
        Err(error) => error.report(),
    };
    if let Err(error) = result {
        error!("{error}; stopped");
    }
    pairs.log.tell_rest();
    received_fds::tell_unclosed();
    report.failed += pairs.log.failed();
    info!("stopped: {report}");
    pairs.check_stdio()?;
    Ok(match result {
        Err(_) => Exit::Failed,
        Ok(_) if report.aborted + report.failed > 0 => Exit::Incomplete,
        Ok(_) => Exit::Done,
    })
}
