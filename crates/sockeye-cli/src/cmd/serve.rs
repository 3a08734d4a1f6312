//! `sockeye serve`

mod restart;

use std::io::ErrorKind;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use sockeye::adopt::AdoptError;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Server};
use sockeye::{Listener, Name, Peer, Takeover, adopt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::args::{Answer, Serve};
use crate::exit::{Exit, failure};
use crate::output::lines::Lines;
use crate::output::log::{self, Throttle};
use crate::output::message::{self, Sender};

pub(crate) fn run(args: &Serve) -> anyhow::Result<Exit> {
    log::init(args.quiet, args.verbose);
    if let (Some(option), false) = (args.file_option(), is_path(args)) {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot listen on {}: it has no file that {option} could apply to; give a path, or leave {option} away",
                args.address
            ),
        ));
    }
    // Before anything is opened, so that the numbers are those that were passed on.
    let passed = Passed {
        ready: match args.successor {
            true => None,
            false => args.ready_fd.map(ready_fd).transpose()?,
        },
        listener: match args.address.name() {
            Name::Fd(raw) => Some(take(*raw).map_err(|error| cannot_listen(args, &error))?),
            _ => None,
        },
    };
    allow_many_descriptors();
    // One thread: the work for a message is smaller than handing it to another one.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| cannot_start(args, &error))?
        .block_on(serve(args, passed))
}

/// Descriptors that were passed on to us.
struct Passed {
    ready: Option<OwnedFd>,
    listener: Option<OwnedFd>,
}

async fn serve(args: &Serve, passed: Passed) -> anyhow::Result<Exit> {
    // Before the claim, so that no signal can leave a file behind.
    let (mut signals, restart) =
        signals(args.takeover).map_err(|error| cannot_start(args, &error))?;
    let handler = Arc::new(Handler::new(args)?);
    let listener = match passed.listener {
        Some(fd) => Listener::adopt(fd).map_err(|error| cannot_listen(args, &error))?,
        None => listen(args).await?,
    };

    if let Some(predecessor) = listener.predecessor() {
        info!("took over from {predecessor}");
    }
    info!("listening on {}", args.address);
    if let Some(ready) = passed.ready {
        // Whoever asked for it may have gone; that does not concern the clients.
        if let Err(error) = rustix::io::write(&ready, b"\n") {
            warn!("cannot write to the descriptor of --ready-fd: {error}; nobody was told");
        }
    }

    let stop = handler.stop.clone();
    let cut_off = CancellationToken::new();
    let watch = {
        let (stop, cut_off) = (stop.clone(), cut_off.clone());
        let drain = args.drain;
        async move {
            tokio::select! {
                name = signals.next() => {
                    stop.cancel();
                    info!(
                        "stopping on {name}: no newcomers, draining for at most {drain:?}; again to cut off"
                    );
                }
                () = stop.cancelled() => {}
            }
            let name = signals.next().await;
            cut_off.cancel();
            info!("cutting off on a second signal ({name})");
        }
    };
    let watch = tokio::spawn(watch);
    let handed_over = CancellationToken::new();
    let restarts = restart.map(|hangup| {
        tokio::spawn(restart::on_each(
            hangup,
            args.successor,
            handed_over.clone(),
        ))
    });

    let drain = args.drain;
    let mut server =
        Server::new()
            .drain(drain)
            .cut_off(cut_off)
            .handed_over(move |successor: &Peer| {
                handed_over.cancel();
                info!("handed over to {successor}: draining for at most {drain:?}");
            });
    if let Some(most) = args.max_connections {
        server = server.max_connections(most);
    }
    if let Some(most) = args.max_per_uid {
        server = server.max_per_uid(most);
    }
    if let Some(timeout) = args.first_byte_timeout {
        server = server.first_byte_timeout(timeout);
    }
    if let Some(timeout) = args.idle_timeout {
        server = server.idle_timeout(timeout);
    }
    let handle = |connection| Arc::clone(&handler).handle(connection);
    let result = server.run(listener, handle, stop.cancelled()).await;
    watch.abort();
    if let Some(restarts) = restarts {
        restarts.abort();
    }

    let report = match &result {
        Ok(report) => *report,
        Err(error) => error.report,
    };
    if let Some(error) = handler.output_error.get() {
        tracing::error!("cannot write to standard output: {error}; stopped");
    }
    if let Err(error) = &result {
        tracing::error!("{error}; stopped");
    }
    handler.tell_withheld(handler.throttle.rest());
    info!("stopped: {report}");
    Ok(match (result.is_ok(), handler.output_error.get()) {
        (true, None) if report.aborted > 0 => Exit::Incomplete,
        (true, None) => Exit::Done,
        _ => Exit::Failed,
    })
}

fn is_path(args: &Serve) -> bool {
    args.address.path().is_some()
}

async fn listen(args: &Serve) -> anyhow::Result<Listener> {
    let address = &args.address;
    if let Name::Systemd(_) = address.name() {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot listen on {address}: sockets passed by systemd are not served yet; give a path, @name or fd:N"
            ),
        ));
    }
    if address.kind() != sockeye::Kind::Stream {
        return Err(failure(
            Exit::Usage,
            format!(
                "cannot listen on {address}: {} sockets are not served yet; give the address without its {}: for a stream",
                address.kind(),
                address.kind().prefix()
            ),
        ));
    }
    let listener = match args.takeover {
        true => Takeover::new(args.claim()).listen(address).await?,
        false => Listener::from_claim(args.claim().claim(address)?)?,
    };
    if let Some(directory) = listener.unsafe_parent() {
        warn!(
            "any user may replace files in {} (writable for others, no sticky bit); move the socket, or chmod o-w the directory",
            directory.display()
        );
    }
    Ok(listener)
}

/// The descriptor to write to, checked before anything is done.
fn ready_fd(raw: RawFd) -> anyhow::Result<OwnedFd> {
    take(raw).map_err(|error| failure(Exit::Usage, format!("cannot use --ready-fd {raw}: {error}")))
}

/// Takes a descriptor that was passed on to us. To be called before anything is opened: the number
/// is closed then, so that the descriptor ends when we are done with it.
fn take(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    let fd = adopt::inherited(raw)?;
    let given_up = match raw {
        0 => std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?)),
        1 | 2 => Ok(()),
        _ => nix::unistd::close(raw).map_err(std::io::Error::from),
    };
    given_up.map_err(AdoptError::Io)?;
    Ok(fd)
}

fn cannot_listen(args: &Serve, error: &AdoptError) -> anyhow::Error {
    failure(
        Exit::Usage,
        format!("cannot listen on {}: {error}", args.address),
    )
}

fn cannot_start(args: &Serve, error: &std::io::Error) -> anyhow::Error {
    failure(
        Exit::Failed,
        format!(
            "cannot listen on {}: starting failed: {error}; look at the limits of this process (ulimit -a)",
            args.address
        ),
    )
}

/// A server's connections are descriptors; the soft limit of 1024 is there for programs that use
/// select(2).
fn allow_many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it the limit is just lower.
    let _ = setrlimit(Resource::Nofile, limit);
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

/// The signals that stop the server, and apart from them SIGHUP if that restarts it. Ignored from
/// the start (nohup(1)), it stays so.
fn signals(restarts: bool) -> std::io::Result<(Signals, Option<Signal>)> {
    let hangup = match restart::hangup_is_ignored() {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let (restart, hangup) = match restarts {
        true => (hangup, None),
        false => (None, hangup),
    };
    let stop = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        hangup,
    };
    Ok((stop, restart))
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}

/// What is done with each connection.
struct Handler {
    lines: Option<Lines>,
    json: bool,
    framing: Framing,
    max_message: usize,
    /// As it goes over the wire; `None` where nothing is answered.
    reply: Option<Bytes>,
    echo: bool,
    throttle: Throttle,
    /// Begins the shutdown.
    stop: CancellationToken,
    output_error: OnceLock<std::io::Error>,
}

impl Handler {
    fn new(args: &Serve) -> anyhow::Result<Self> {
        let framing = Framing::from(args.framing);
        let (reply, echo) = match args.answer() {
            Answer::Reply(text) if framing == Framing::Length => {
                (Some(framing.encode(text.as_bytes())?), false)
            }
            Answer::Reply(text) => (Some(Bytes::from(text + "\n")), false),
            Answer::Echo => (None, true),
            Answer::Discard => (None, false),
        };
        Ok(Self {
            lines: match echo {
                true => None,
                false => Some(Lines::stdout().map_err(|error| cannot_start(args, &error))?),
            },
            json: args.json,
            framing: if echo { Framing::Raw } else { framing },
            max_message: if echo { usize::MAX } else { args.max_message },
            reply,
            echo,
            throttle: Throttle::new(),
            stop: CancellationToken::new(),
            output_error: OnceLock::new(),
        })
    }

    async fn handle(self: Arc<Self>, connection: Connection) {
        let mut messages = Messages::new(connection, self.framing, self.max_message);
        let result = match self.echo {
            true => echo(&mut messages).await,
            false => self.answer(&mut messages).await,
        };
        if let Err(error) = result {
            self.explain(&error, &messages);
        }
    }

    /// Says why a connection ended before its time.
    fn explain(&self, error: &FramingError, messages: &Messages) {
        let sender = || Sender::new(messages.connection().peer().ok()).describe();
        let text = match error {
            FramingError::TooLong { limit } => format!(
                "a message of more than {limit} bytes; its connection is closed, --max-message allows longer ones"
            ),
            FramingError::Incomplete { got } => {
                format!("{got} bytes of a message and then the end; it is not answered")
            }
            FramingError::Io(error)
                if error.kind() == ErrorKind::TimedOut && messages.begun() > 0 =>
            {
                format!(
                    "{} bytes of a message and then nothing; its connection is closed, it was not answered",
                    messages.begun()
                )
            }
            error => {
                debug!("the connection of {} ended: {error}", sender());
                return;
            }
        };
        if let Some(withheld) = self.throttle.pass() {
            self.tell_withheld(withheld);
            warn!("{} sent {text}", sender());
        }
    }

    fn tell_withheld(&self, withheld: u64) {
        if withheld > 0 {
            warn!("{withheld} more lines of this kind were withheld");
        }
    }

    async fn answer(&self, messages: &mut Messages) -> Result<(), FramingError> {
        let mut sender = None;
        let mut listens = true;
        while let Some(message) = messages.next().await? {
            let sender =
                sender.get_or_insert_with(|| Sender::new(messages.connection().peer().ok()));
            let line = match self.json {
                true => message::as_json(&message, sender).map_err(std::io::Error::from)?,
                false => message::as_text(&message, sender),
            };
            drop(message);
            self.print(&line).await;
            if let Some(reply) = self.reply.as_ref().filter(|_| listens) {
                match messages.send(reply).await {
                    Ok(()) => {}
                    // The peer has gone, but what it sent before has come all the same.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => listens = false,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Prints a line; if that fails for good, the server stops: its work could not be seen.
    async fn print(&self, line: &[u8]) {
        if let Some(lines) = &self.lines
            && let Err(error) = lines.write(line).await
        {
            let _ = self.output_error.set(error);
            self.stop.cancel();
        }
    }
}

async fn echo(messages: &mut Messages) -> Result<(), FramingError> {
    while let Some(message) = messages.next().await? {
        messages.send(&message.payload).await?;
    }
    Ok(())
}
