//! `sockeye serve`: startup, then clients until a signal, then the report and the exit code.

mod allowed;
mod background;
mod client_log;
mod datagram_programs;
mod datagram_replies;
mod datagrams;
mod environment;
mod handler;
mod inetd_listener;
mod inherited;
mod lifecycle;
mod message_output;
mod notify;
mod programs;
mod received_fds;
mod recv_errors;
mod restart;
mod seqpacket_handler;
mod signals;
mod socket;
mod startup;
mod stream_handler;
mod systemd;
mod undelivered;

use std::sync::Arc;

use sockeye::peer::AllowedPeers;
use sockeye::server::{Report, Server, ServerError};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::args::Serve;
use crate::cmd::parent::end_with;
use crate::exit::Exit;
use crate::stdio::log;
use allowed::allowed_peers;
use datagrams::DatagramServer;
use handler::Handler;
use lifecycle::Lifecycle;
use programs::Programs;
use socket::ServedSocket;
use startup::{Startup, cannot_start};

pub(crate) fn run(args: &Serve) -> anyhow::Result<Exit> {
    log::init(args.quiet, args.verbose);
    if let Some(parent) = args.end_with_parent {
        end_with(parent)?;
    }
    let startup = Startup::prepare(args)?;
    startup::runtime(args)?.block_on(serve(args, startup))
}

async fn serve(args: &Serve, mut startup: Startup) -> anyhow::Result<Exit> {
    let mut lifecycle = Lifecycle::new(args).map_err(|error| cannot_start(args, &error))?;
    let handler = Arc::new(Handler::new(args, &lifecycle.stop)?);
    let Some(socket) = startup.open(args, &mut lifecycle).await? else {
        return Ok(Exit::Done);
    };
    startup.announce(args, &socket, &mut lifecycle);
    let limit = startup.limit;
    let programs = match startup.program {
        Some(program) if args.inetd_listener => {
            return inetd_listener::serve(args, socket, &program, &mut lifecycle).await;
        }
        Some(program) => Some(Programs::new(program, args, &socket)),
        None => None,
    };

    lifecycle.watch(args, &limit);
    lifecycle.spawn(Arc::clone(&handler).watch_output());
    let result = serve_clients(args, socket, &handler, programs.as_ref(), &lifecycle).await;
    let mut report = match &result {
        Ok(report) => *report,
        Err(error) => error.report(),
    };
    if let Some(programs) = &programs {
        let deadline = lifecycle.drain_deadline();
        let left_running = &programs.background;
        left_running
            .wait(deadline, &lifecycle.abort, &mut report)
            .await;
    }
    lifecycle.end();

    if let Err(error) = &result {
        error!("{error}; stopped");
    }
    handler.log.tell_rest();
    if let Some(programs) = &programs {
        programs.tell_rest();
    }
    received_fds::tell_unclosed();
    info!("stopped: {report}");
    Ok(match (result.is_ok(), handler.output.error.get()) {
        (true, None) if report.aborted + report.dropped_replies > 0 => Exit::Incomplete,
        (true, None) => Exit::Done,
        _ => Exit::Failed,
    })
}

/// Serves until the lifecycle stops it, then drains.
async fn serve_clients(
    args: &Serve,
    socket: ServedSocket,
    handler: &Arc<Handler>,
    programs: Option<&Arc<Programs>>,
    lifecycle: &Lifecycle,
) -> Result<Report, ServerError> {
    let allowed = allowed_peers(&args.allow_users, &args.allow_groups);
    let stopped = lifecycle.stop.cancelled();
    match (socket, programs) {
        (ServedSocket::Stream(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server(args, allowed, lifecycle).abort_grace(programs::END);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::SeqPacket(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server(args, allowed, lifecycle).abort_grace(programs::END);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::Stream(listener), None) => {
            let handle = |connection| stream_handler::handle(Arc::clone(handler), connection);
            let server = server(args, allowed, lifecycle);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::SeqPacket(listener), None) => {
            let handle = |connection| seqpacket_handler::handle(Arc::clone(handler), connection);
            let server = server(args, allowed, lifecycle);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::Datagram(socket), programs) => {
            let server = DatagramServer {
                handler: Arc::clone(handler),
                programs: programs.cloned(),
                max_programs: args.max_connections,
                allowed,
                drain_timeout: args.drain,
                once: args.once,
                abort: lifecycle.abort.clone(),
                ended: CancellationToken::new(),
            };
            server.run(socket).await
        }
    }
}

/// The server of connections that the arguments ask for.
fn server(args: &Serve, allowed: Option<AllowedPeers>, lifecycle: &Lifecycle) -> Server {
    let mut server = Server::new()
        .max_buffered(args.max_buffered())
        .drain_timeout(args.drain)
        .busy_poll(args.busy_poll)
        .abort_on(lifecycle.abort.clone())
        .renew_files(lifecycle.renew.clone())
        .on_handover(lifecycle.on_handover());
    if let Some(most) = args.max_connections {
        server = server.max_connections(most);
    }
    if let Some(most) = args.max_per_uid {
        server = server.max_per_uid(most);
    }
    if let Some(timeout) = args.first_byte_timeout {
        server = server.first_byte_timeout(timeout);
    }
    if let Some(timeout) = args.message_timeout {
        server = server.message_timeout(timeout);
    }
    if let Some(timeout) = args.idle_timeout {
        server = server.idle_timeout(timeout);
    }
    if args.once {
        server = server.once();
    }
    match allowed {
        Some(allowed) => server.allow_peers(allowed),
        None => server,
    }
}
