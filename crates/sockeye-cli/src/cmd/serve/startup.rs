//! Everything before the first client: what can fail fails here, and the socket is opened.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::io::dup;
use rustix::process::Rlimit;
use sockeye::address::quoted;
use sockeye::adopt::AdoptError;
use sockeye::server::Report;
use sockeye::{Kind, Name, Program, Takeover, peer};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

use super::inherited::{ready_fd, take};
use super::lifecycle::Lifecycle;
use super::programs;
use super::socket::ServedSocket;
use super::systemd;
use crate::args::{Serve, TypedId};
use crate::cmd::descriptor_limit;
use crate::cmd::hung;
use crate::escape;
use crate::exit::{Exit, failure};

/// How long the file system of the path may take to answer: it may be mounted only now (autofs).
const FILE_SYSTEM_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server has before its runtime starts.
pub(super) struct Startup {
    /// The listening socket, where it was inherited.
    listener: Option<OwnedFd>,
    ready: Option<OwnedFd>,
    /// RLIMIT_NOFILE as this process was started with it.
    pub(super) limit: Rlimit,
    pub(super) program: Option<Program>,
}

impl Startup {
    /// Checks the arguments and takes the inherited fds, without claiming anything.
    pub(super) fn prepare(args: &Serve) -> anyhow::Result<Self> {
        check_file_option(args)?;
        args.check_sizes()?;
        // Before anything is opened: a new fd could get the number of one that was passed on.
        let listener = match args.address.name() {
            Name::Fd(raw) => Some(take(*raw).map_err(|error| cannot_listen(args, &error))?),
            Name::Systemd(name) => Some(systemd::take(&args.address, name)?),
            _ => None,
        };
        let ready = args.ready_fd.filter(|_| args.successor.is_none());
        let ready = ready.map(|raw| ready_fd(raw, listener.as_ref()));
        let ready = ready.transpose()?;
        if let Some(path) = args.address.path() {
            // Before signal handlers are installed: until then a signal ends this process at once.
            let waiting = |what: &str| warn!("waiting for {what}");
            let timeout = FILE_SYSTEM_TIMEOUT;
            hung::must_answer("listen on", &args.address, &[path], timeout, waiting)?;
        }
        let limit = descriptor_limit::raise(args.successor);
        let program = programs::find(args, &limit)?;
        can_start(program.is_some()).map_err(|error| cannot_start(args, &error))?;
        Ok(Self {
            listener,
            ready,
            limit,
            program,
        })
    }

    /// Opens the socket: adopts the inherited one, or claims the address, which may be a takeover.
    /// `None` where a signal ends the server before that.
    pub(super) async fn open(
        &mut self,
        args: &Serve,
        lifecycle: &mut Lifecycle,
    ) -> anyhow::Result<Option<ServedSocket>> {
        // All that can fail comes before a predecessor ends.
        if self.program.is_some() {
            programs::prepare().await?;
        }
        if let Some(fd) = self.listener.take() {
            return adopt(args, fd).map(Some);
        }
        tokio::select! {
            biased;
            // A takeover can take long; meanwhile the path stays with the server that has it.
            name = lifecycle.next_signal() => {
                info!("stopping on {name} before anybody was served");
                info!("stopped: {}", Report::default());
                Ok(None)
            }
            socket = claim(args) => socket.map(Some),
        }
    }

    /// Tells the log, the service manager and `--ready-fd` that clients can connect.
    pub(super) fn announce(
        &mut self,
        args: &Serve,
        socket: &ServedSocket,
        lifecycle: &mut Lifecycle,
    ) {
        lifecycle.connect_manager();
        if let Some(predecessor) = socket.predecessor() {
            info!("took over from {predecessor}");
        }
        info!(
            "listening on {}{}",
            escape::address(&args.address.to_string()),
            name_beside(args, socket)
        );
        lifecycle.ready(&args.address);
        if let Some(ready) = self.ready.take() {
            // The process that asked for it may have ended; that does not concern the clients.
            if let Err(error) = rustix::io::write(&ready, b"\n") {
                warn!("cannot write to the descriptor of --ready-fd: {error}; nobody was told");
            }
        }
    }
}

/// One thread: the work for a message is smaller than handing it to another thread.
pub(super) fn runtime(args: &Serve) -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(programs::STARTERS)
        .thread_keep_alive(Duration::MAX)
        .build()
        .map_err(|error| cannot_start(args, &error))
}

fn check_file_option(args: &Serve) -> anyhow::Result<()> {
    match args.file_option() {
        Some(option) if args.address.path().is_none() => Err(failure(
            Exit::Usage,
            format!(
                "cannot listen on {}: it has no file that {option} could apply to; give a path, or omit {option}",
                args.address.quoted()
            ),
        )),
        _ => Ok(()),
    }
}

/// Gets the fds that tokio begins with, and a thread where one will be needed, and gives them back:
/// tokio panics where it cannot have them.
fn can_start(needs_thread: bool) -> io::Result<()> {
    // For signals it makes such a pair, after three fds for epoll(7).
    let (one, _other) = UnixStream::pair()?;
    let _three = [dup(&one)?, dup(&one)?, dup(&one)?];
    if needs_thread {
        let thread = thread::Builder::new().spawn(|| ())?;
        let _ = thread.join();
    }
    Ok(())
}

async fn claim(args: &Serve) -> anyhow::Result<ServedSocket> {
    let address = &args.address;
    args.check_kind(address.kind())?;
    let options = args.claim();
    let options = options.pass_credentials(address.kind() == Kind::Datagram);
    let socket = if args.takeover {
        let from = args.takeover_from.iter().filter_map(TypedId::number);
        let takeover = from.fold(Takeover::new(options), Takeover::from_user);
        ServedSocket::take_over(takeover, address).await?
    } else {
        ServedSocket::from_claim(options.claim(address)?)?
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

/// Checks an inherited socket.
fn adopt(args: &Serve, fd: OwnedFd) -> anyhow::Result<ServedSocket> {
    let kind = match args.address.name() {
        Name::Systemd(_) => systemd::kind(&args.address, &fd),
        _ => Ok(args.address.kind()),
    };
    let kind = kind.map_err(|error| cannot_listen(args, &error))?;
    args.check_kind(kind)?;
    ServedSocket::adopt(fd, kind, args.fds).map_err(|error| cannot_listen(args, &error))
}

/// The name to call an inherited socket by, in parentheses.
fn name_beside(args: &Serve, socket: &ServedSocket) -> String {
    if !matches!(args.address.name(), Name::Fd(_) | Name::Systemd(_)) {
        return String::new();
    }
    socket.address().map_or_else(String::new, |address| {
        format!(" ({})", escape::address(&address.to_string()))
    })
}

fn cannot_listen(args: &Serve, error: &AdoptError) -> anyhow::Error {
    failure(
        Exit::Usage,
        format!("cannot listen on {}: {error}", args.address.quoted()),
    )
}

pub(super) fn cannot_start(args: &Serve, error: &io::Error) -> anyhow::Error {
    failure(
        Exit::Failed,
        format!(
            "cannot listen on {}: starting failed: {error}; look at the limits of this process (ulimit -a)",
            args.address.quoted()
        ),
    )
}
