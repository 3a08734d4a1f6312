//! `sockeye serve`

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Server};
use sockeye::{Listener, Name, adopt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::args::{Answer, Serve};
use crate::exit::{Exit, failure};
use crate::output::lines::Lines;
use crate::output::log;
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
    let ready = args.ready_fd.map(ready_fd).transpose()?;
    allow_many_descriptors();
    // One thread: the work for a message is smaller than handing it to another one.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(args, ready))
}

async fn serve(args: &Serve, ready: Option<OwnedFd>) -> anyhow::Result<Exit> {
    // Before the claim, so that no signal can leave a file behind.
    let mut signals = Signals::new()?;
    let handler = Arc::new(Handler::new(args)?);
    let listener = listen(args)?;

    info!("listening on {}", args.address);
    if let Some(ready) = ready {
        // Whoever asked for it may have gone; that does not concern the clients.
        let _ = rustix::io::write(&ready, b"\n");
    }

    let stop = handler.stop.clone();
    let cut_off = CancellationToken::new();
    let watch = {
        let (stop, cut_off) = (stop.clone(), cut_off.clone());
        let drain = args.drain;
        async move {
            tokio::select! {
                name = signals.next() => info!(
                    "stopping on {name}: no newcomers, draining for at most {drain:?}; again to cut off"
                ),
                () = stop.cancelled() => {}
            }
            stop.cancel();
            let name = signals.next().await;
            info!("cutting off on a second signal ({name})");
            cut_off.cancel();
        }
    };
    let watch = tokio::spawn(watch);

    let mut server = Server::new().drain(args.drain).cut_off(cut_off);
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

fn listen(args: &Serve) -> anyhow::Result<Listener> {
    let address = &args.address;
    if let Name::Fd(raw) = address.name() {
        return adopt::inherited(*raw)
            .and_then(Listener::adopt)
            .map_err(|error| failure(Exit::Usage, format!("cannot listen on {address}: {error}")));
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
    let claim = args.claim().claim(address)?;
    if let Some(directory) = claim.unsafe_parent() {
        warn!(
            "any user may replace files in {} (writable for others, no sticky bit); move the socket, or chmod o-w the directory",
            directory.display()
        );
    }
    Ok(Listener::from_claim(claim)?)
}

/// The descriptor to write to, checked before anything is done.
fn ready_fd(raw: i32) -> anyhow::Result<OwnedFd> {
    adopt::inherited(raw)
        .map_err(|error| failure(Exit::Usage, format!("cannot use --ready-fd {raw}: {error}")))
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
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
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
            lines: if echo { None } else { Some(Lines::stdout()?) },
            json: args.json,
            framing: if echo { Framing::Raw } else { framing },
            max_message: if echo { usize::MAX } else { args.max_message },
            reply,
            echo,
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
            let sender = || Sender::new(messages.connection().peer().ok()).describe();
            match error {
                FramingError::TooLong { limit } => warn!(
                    "closed the connection of {}: a message of more than {limit} bytes; --max-message allows longer ones",
                    sender()
                ),
                FramingError::Incomplete { got } => {
                    let sender = sender();
                    warn!("{sender} broke off after {got} bytes of a message; it was not answered");
                }
                error => debug!("the connection of {} ended: {error}", sender()),
            }
        }
    }

    async fn answer(&self, messages: &mut Messages) -> Result<(), FramingError> {
        let mut sender = None;
        while let Some(message) = messages.next().await? {
            let sender =
                sender.get_or_insert_with(|| Sender::new(messages.connection().peer().ok()));
            let line = match self.json {
                true => message::as_json(&message, sender).map_err(std::io::Error::from)?,
                false => message::as_text(&message, sender),
            };
            drop(message);
            self.print(&line).await;
            if let Some(reply) = &self.reply {
                messages.send(reply).await?;
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
