//! `sockeye serve`: startup, then clients until a signal, then the report and the exit code.

mod background;
mod client_log;
mod datagram_programs;
mod datagram_replies;
mod datagrams;
mod environment;
mod files;
mod handler;
mod inetd_listener;
mod message_output;
mod programs;
mod recv_errors;
mod seqpacket_handler;
mod stream_handler;
mod undelivered;

use std::sync::Arc;

use sockeye::server::{Report, Server, ServerError};
use sockeye::{Kind, Program};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::args::Serve;
use crate::cmd::listening::allowed::allowed_peers;
use crate::cmd::listening::lifecycle::Lifecycle;
use crate::cmd::listening::socket::ServedSocket;
use crate::cmd::listening::startup::{self, Startup};
use crate::cmd::listening::{self, ListeningSide, received_fds};
use crate::cmd::parent::end_with;
use crate::exit::Exit;
use crate::stdio::log;
use datagrams::DatagramServer;
use files::FileRoot;
use handler::Handler;
use programs::Programs;

pub(crate) fn run(args: &Serve) -> anyhow::Result<Exit> {
    log::init(args.log.quiet, args.log.verbose);
    if let Some(parent) = args.listen.end_with_parent {
        end_with(parent)?;
    }
    args.check_sizes()?;
    let side = ListeningSide {
        address: &args.address,
        options: &args.listen,
        allows_fd_passing: args.fds,
        reports_credentials: args.address.kind() == Kind::Datagram,
    };
    let startup = Startup::prepare(&side)?;
    let program = programs::find(args, &startup.limit)?;
    let files = match &args.http {
        Some(path) => {
            startup::must_answer(&args.address, path)?;
            Some(Arc::new(FileRoot::open(path, &args.address)?))
        }
        None => None,
    };
    let needs_thread = program.is_some() || files.is_some();
    startup::can_start(&args.address.quoted(), needs_thread)?;
    let threads = match files {
        Some(_) => files::FILE_THREADS,
        None => programs::STARTERS,
    };
    let runtime = startup::runtime(&args.address.quoted(), threads)?;
    let result = runtime.block_on(serve(args, &side, startup, (program, files)));
    if args.http.is_some() {
        // A file system may hang; the socket is closed already.
        runtime.shutdown_background();
    }
    result
}

async fn serve(
    args: &Serve,
    side: &ListeningSide<'_>,
    mut startup: Startup,
    (program, files): (Option<Program>, Option<Arc<FileRoot>>),
) -> anyhow::Result<Exit> {
    let mut lifecycle = Lifecycle::new(&args.listen, &args.address.quoted())?;
    let handler = Arc::new(Handler::new(args, &lifecycle.stop)?);
    let kind = startup.kind(&args.address)?;
    args.check_kind(kind)?;
    // All that can fail comes before a predecessor ends.
    if program.is_some() || files.is_some() {
        programs::prepare().await?;
    }
    let Some(socket) = startup.open(side, kind, &mut lifecycle).await? else {
        return Ok(Exit::Done);
    };
    startup.announce(&args.address, &socket, &mut lifecycle);
    let programs = match program {
        Some(program) if args.inetd_listener => {
            return inetd_listener::serve(args, socket, &program, &mut lifecycle).await;
        }
        Some(program) => Some(Programs::new(program, args, &socket)),
        None => None,
    };

    lifecycle.watch(&args.listen, &args.address.to_string(), &startup.limit);
    lifecycle.spawn(Arc::clone(&handler).watch_output());
    let result = match (socket, files) {
        (ServedSocket::Stream(listener), Some(files)) => {
            let server = (server(args, &lifecycle), listener);
            files::serve(files, &handler, server, lifecycle.stop.cancelled()).await
        }
        (socket, _) => serve_clients(args, socket, &handler, programs.as_ref(), &lifecycle).await,
    };
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
    let stopped = lifecycle.stop.cancelled();
    match (socket, programs) {
        (ServedSocket::Stream(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server(args, lifecycle).abort_grace(programs::END);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::SeqPacket(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server(args, lifecycle).abort_grace(programs::END);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::Stream(listener), None) => {
            let handle = |connection| stream_handler::handle(Arc::clone(handler), connection);
            let server = server(args, lifecycle);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::SeqPacket(listener), None) => {
            let handle = |connection| seqpacket_handler::handle(Arc::clone(handler), connection);
            let server = server(args, lifecycle);
            server.run(listener, handle, stopped).await
        }
        (ServedSocket::Datagram(socket), programs) => {
            let server = DatagramServer {
                handler: Arc::clone(handler),
                programs: programs.cloned(),
                max_programs: args.listen.max_connections,
                allowed: allowed_peers(&args.listen.allow_users, &args.listen.allow_groups),
                drain_timeout: args.listen.drain,
                once: args.listen.once,
                abort: lifecycle.abort.clone(),
                ended: CancellationToken::new(),
            };
            server.run(socket).await
        }
    }
}

/// The server of connections that the arguments ask for.
fn server(args: &Serve, lifecycle: &Lifecycle) -> Server {
    let server = listening::server::server(&args.listen, lifecycle)
        .max_buffered(args.max_buffered())
        .busy_poll(args.busy_poll);
    match args.message_timeout {
        Some(timeout) => server.message_timeout(timeout),
        None => server,
    }
}
