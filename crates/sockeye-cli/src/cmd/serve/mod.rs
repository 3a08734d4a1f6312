//! `sockeye serve`

mod allowed;
mod background;
mod datagram_programs;
mod datagram_replies;
mod datagrams;
mod descriptors;
mod environment;
mod handler;
mod inetd_listener;
mod inherited;
mod notify;
mod programs;
mod restart;
mod seqpacket_handler;
mod signals;
mod socket;
mod start;
mod systemd;
mod undelivered;

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Rlimit;
use sockeye::address::quoted;
use sockeye::adopt::AdoptError;
use sockeye::server::{Renew, Report, Server};
use sockeye::{Address, Kind, Name, Peer, Program, Takeover, peer};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::descriptor_limit;
use crate::args::Serve;
use crate::cmd::hung;
use crate::cmd::parent::end_with;
use crate::escape;
use crate::exit::{Exit, failure};
use crate::output::{self};
use crate::stdio::log;
use allowed::Allowed;
use handler::Handler;
use inherited::{ready_fd, take};
use notify::Notify;
use programs::Programs;
use restart::{Pending, Restart};
use signals::{Signals, signals};
use socket::Socket;

/// How long the file system of the path may take to answer: it may be mounted only now (autofs).
const ANSWERS: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Serve) -> anyhow::Result<Exit> {
    log::init(args.quiet, args.verbose);
    if let Some(parent) = args.end_with_parent {
        end_with(parent)?;
    }
    if let (Some(option), false) = (args.file_option(), is_path(args)) {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot listen on {}: it has no file that {option} could apply to; give a path, or omit {option}",
                args.address.quoted()
            ),
        ));
    }
    args.check_sizes()?;
    // Before anything is opened, so that the numbers are those that were passed on.
    let listener = match args.address.name() {
        Name::Fd(raw) => Some(take(*raw).map_err(|error| cannot_listen(args, &error))?),
        Name::Systemd(name) => Some(systemd::take(&args.address, name)?),
        _ => None,
    };
    let ready = args.ready_fd.filter(|_| args.successor.is_none());
    let ready = ready.map(|raw| ready_fd(raw, listener.as_ref()));
    let passed = Passed {
        ready: ready.transpose()?,
        listener,
    };
    if let Some(path) = args.address.path() {
        // Before there are signals to be waited for: these end us at once.
        let waiting = |what: &str| warn!("waiting for {what}");
        hung::must_answer("listen on", &args.address, &[path], ANSWERS, waiting)?;
    }
    let limit = descriptor_limit::raise(args.successor);
    let program = programs::find(args, &limit)?;
    start::can_start(program.is_some()).map_err(|error| cannot_start(args, &error))?;
    // One thread: the work for a message is smaller than handing it to another one.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(programs::STARTERS)
        .thread_keep_alive(Duration::MAX)
        .build()
        .map_err(|error| cannot_start(args, &error))?
        .block_on(serve(args, passed, program, &limit))
}

/// Descriptors that were passed on to us.
struct Passed {
    ready: Option<OwnedFd>,
    listener: Option<OwnedFd>,
}

async fn serve(
    args: &Serve,
    passed: Passed,
    program: Option<Program>,
    limit: &Rlimit,
) -> anyhow::Result<Exit> {
    // Before the claim, so that no signal can leave a file behind.
    let (mut signals, restart) =
        signals(args.takeover).map_err(|error| cannot_start(args, &error))?;
    let handler = Arc::new(Handler::new(args)?);
    // All that can fail comes before a predecessor ends.
    if program.is_some() {
        programs::prepare().await?;
    }
    let socket = match passed.listener {
        Some(fd) => adopt(args, fd)?,
        None => tokio::select! {
            biased;
            // A takeover may be waited for, and the path stays with the server that has it.
            name = signals.next() => {
                info!("stopping on {name} before anybody was served");
                info!("stopped: {}", Report::default());
                return Ok(Exit::Done);
            }
            socket = listen(args) => socket?,
        },
    };
    let notify = Arc::new(Notify::from_environment());
    tokio::spawn(Arc::clone(&notify).keep_alive());
    if let Some(predecessor) = socket.predecessor() {
        info!("took over from {predecessor}");
    }
    info!(
        "listening on {}{}",
        escape::address(&args.address.to_string()),
        name_beside(args, &socket)
    );
    notify.ready(&args.address);
    if let Some(ready) = passed.ready {
        // Whoever asked for it may have gone; that does not concern the clients.
        if let Err(error) = rustix::io::write(&ready, b"\n") {
            warn!("cannot write to the descriptor of --ready-fd: {error}; nobody was told");
        }
    }

    if let (true, Some(program)) = (args.inetd_listener, &program) {
        return inetd_listener::serve(args, socket, program, &mut signals, &notify).await;
    }
    let programs = program.map(|program| Programs::new(program, args, &socket));
    let stop = handler.stop.clone();
    let abort = CancellationToken::new();
    let pending = Arc::<Pending>::default();
    let began = Arc::<OnceLock<Instant>>::default();
    let watch = {
        let (stop, abort) = (stop.clone(), abort.clone());
        let began = Arc::clone(&began);
        let pending = Arc::clone(&pending);
        let notify = Arc::clone(&notify);
        let drain = output::duration(args.drain);
        async move {
            tokio::select! {
                name = signals.next() => {
                    pending.stop();
                    stop.cancel();
                    info!(
                        "stopping on {name}: no newcomers, draining for at most {drain}; again to cut off"
                    );
                }
                () = stop.cancelled() => {}
            }
            began.get_or_init(Instant::now);
            notify.stopping();
            let name = signals.next().await;
            abort.cancel();
            info!("cutting off on a second signal ({name})");
        }
    };
    let watch = tokio::spawn(watch);
    let output = tokio::spawn(Arc::clone(&handler).watch_output());
    let handed_over = CancellationToken::new();
    let renew = Renew::default();
    let restarts = restart.map(|hangup| {
        let restart = Restart {
            pending: Arc::clone(&pending),
            stop: stop.clone(),
            soft_limit: limit.current,
            is_successor: args.successor.is_some(),
            address: args.address.clone(),
            notify: Arc::clone(&notify),
            handed_over: handed_over.clone(),
            renew: renew.clone(),
        };
        tokio::spawn(restart.on_each(hangup))
    });
    let hand_over = {
        let drain = output::duration(args.drain);
        let notify = Arc::clone(&notify);
        move |successor: &Peer| {
            pending.forget();
            handed_over.cancel();
            if let Some(pid) = successor.pid() {
                notify.replaced_by(pid.as_raw_pid().unsigned_abs());
            }
            info!("handed over to {successor}: draining for at most {drain}");
        }
    };

    let allowed = Allowed::new(&args.allow_users, &args.allow_groups);
    let server = || {
        let server = server(args, allowed.clone()).abort_on(abort.clone());
        let server = server.renew_files(renew.clone());
        server.on_handover(hand_over.clone())
    };
    let stopped = || stop.cancelled();
    let result = match (socket, &programs) {
        (Socket::Stream(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server().abort_grace(programs::END);
            server.run(listener, handle, stopped()).await
        }
        (Socket::SeqPacket(listener), Some(programs)) => {
            let handle = |connection| Arc::clone(programs).handle(connection);
            let server = server().abort_grace(programs::END);
            server.run(listener, handle, stopped()).await
        }
        (Socket::Stream(listener), None) => {
            let handle = |connection| Arc::clone(&handler).handle(connection);
            server().run(listener, handle, stopped()).await
        }
        (Socket::SeqPacket(listener), None) => {
            let handle = |connection| seqpacket_handler::handle(Arc::clone(&handler), connection);
            server().run(listener, handle, stopped()).await
        }
        (Socket::Datagram(socket), programs) => {
            let server = datagrams::Server {
                handler: Arc::clone(&handler),
                programs: programs.clone(),
                most: args.max_connections,
                allowed,
                drain: args.drain,
                once: args.once,
                abort: abort.clone(),
                ended: CancellationToken::new(),
            };
            server.run(socket).await
        }
    };
    let mut report = match &result {
        Ok(report) => *report,
        Err(error) => error.report(),
    };
    if let Some(programs) = &programs {
        let until = began.get_or_init(Instant::now).checked_add(args.drain);
        programs.background.wait(until, &abort, &mut report).await;
    }
    watch.abort();
    output.abort();
    if let Some(restarts) = restarts {
        restarts.abort();
    }

    if let Err(error) = &result {
        tracing::error!("{error}; stopped");
    }
    handler.tell_rest();
    if let Some(programs) = &programs {
        programs.tell_rest();
    }
    descriptors::tell_unclosed();
    info!("stopped: {report}");
    Ok(match (result.is_ok(), handler.output_error.get()) {
        (true, None) if report.aborted + report.dropped_answers > 0 => Exit::Incomplete,
        (true, None) => Exit::Done,
        _ => Exit::Failed,
    })
}

/// The server of connections that the arguments ask for.
fn server(args: &Serve, allowed: Option<Allowed>) -> Server {
    let mut server = Server::new()
        .max_buffered(args.max_buffered())
        .drain_timeout(args.drain)
        .busy_poll(args.busy_poll);
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
        Some(allowed) => server.authorize(move |peer, socket| allowed.admits(peer, socket)),
        None => server,
    }
}

/// Where a socket that was passed on is found, for those who want to call it.
fn name_beside(args: &Serve, socket: &Socket) -> String {
    if !matches!(args.address.name(), Name::Fd(_) | Name::Systemd(_)) {
        return String::new();
    }
    let address = socket
        .own_name()
        .and_then(|name| Address::new(socket.kind(), &name).ok());
    address.map_or_else(String::new, |address| {
        format!(" ({})", escape::address(&address.to_string()))
    })
}

fn is_path(args: &Serve) -> bool {
    args.address.path().is_some()
}

async fn listen(args: &Serve) -> anyhow::Result<Socket> {
    let address = &args.address;
    args.check_kind(address.kind())?;
    let options = args.claim();
    let options = options.pass_credentials(address.kind() == Kind::Datagram);
    let socket = match args.takeover {
        true => {
            let from = args.takeover_from.iter().copied();
            let takeover = from.fold(Takeover::new(options), Takeover::from_user);
            Socket::take_over(takeover, address).await?
        }
        false => Socket::from_claim(options.claim(address)?)?,
    };
    if let Some(directory) = socket.unsafe_parent() {
        warn!(
            "any user may replace files in {} (writable for others, no sticky bit); move the socket, or chmod o-w the directory",
            quoted(&directory)
        );
    }
    if let Ok(Some(bound)) = peer::own_path(&socket)
        && let Some(path) = address.path()
        && bound.file_name() != path.file_name()
    {
        warn!(
            "ss, lsof and tools that clean up see this socket as {}, since its file name is too long for a socket address; choose a shorter name",
            quoted(&bound)
        );
    }
    Ok(socket)
}

/// Serves a socket that was passed on to us.
fn adopt(args: &Serve, fd: OwnedFd) -> anyhow::Result<Socket> {
    let kind = match args.address.name() {
        Name::Systemd(_) => systemd::kind(&args.address, &fd),
        _ => Ok(args.address.kind()),
    };
    let kind = kind.map_err(|error| cannot_listen(args, &error))?;
    args.check_kind(kind)?;
    Socket::adopt(fd, kind, args.fds).map_err(|error| cannot_listen(args, &error))
}

fn cannot_listen(args: &Serve, error: &AdoptError) -> anyhow::Error {
    failure(
        Exit::Usage,
        format!("cannot listen on {}: {error}", args.address.quoted()),
    )
}

fn cannot_start(args: &Serve, error: &std::io::Error) -> anyhow::Error {
    failure(
        Exit::Failed,
        format!(
            "cannot listen on {}: starting failed: {error}; look at the limits of this process (ulimit -a)",
            args.address.quoted()
        ),
    )
}
