//! Everything before the first client: what can fail fails here, and the socket is opened.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::io::dup;
use rustix::process::Rlimit;
use sockeye::address::quoted;
use sockeye::adopt::AdoptError;
use sockeye::ancillary::pass_credentials;
use sockeye::server::Report;
use sockeye::{Address, Kind, Name, Takeover, peer};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

use super::ListeningSide;
use super::failures::{cannot_listen, cannot_start};
use super::inherited::InheritedFds;
use super::lifecycle::Lifecycle;
use super::socket::ServedSocket;
use super::systemd;
use crate::args::{ListenOptions, TypedId};
use crate::cmd::descriptor_limit;
use crate::cmd::hung;
use crate::escape;

/// How long the file system of the path may take to answer: it may be mounted only now (autofs).
const FILE_SYSTEM_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server has before its runtime starts.
pub(crate) struct Startup {
    /// The listening socket, where it was inherited.
    listener: Option<OwnedFd>,
    ready: Option<OwnedFd>,
    /// RLIMIT_NOFILE as this process was started with it.
    pub(crate) limit: Rlimit,
}

impl Startup {
    /// Checks the options and takes the inherited fds, without claiming anything.
    pub(crate) fn prepare(side: &ListeningSide<'_>) -> anyhow::Result<Self> {
        let address = side.address;
        side.options
            .check_file(&address.quoted(), address.path().is_some())?;
        let tried = [("listen on", &**address)];
        let mut inherited = InheritedFds::take(&tried, side.options.ready_fd())?;
        let listener = inherited.sockets.pop().flatten();
        let path = address.path().map(|path| (&**address, path));
        Self::with_inherited(side.options, path, listener, inherited.ready)
    }

    /// With fds that were taken already; `path` is that of a socket file.
    pub(crate) fn with_inherited(
        options: &ListenOptions,
        path: Option<(&Address, &Path)>,
        listener: Option<OwnedFd>,
        ready: Option<OwnedFd>,
    ) -> anyhow::Result<Self> {
        if let Some((address, path)) = path {
            // Before signal handlers are installed: until then a signal ends this process at once.
            let waiting = |what: &str| warn!("waiting for {what}");
            let timeout = FILE_SYSTEM_TIMEOUT;
            hung::must_answer("listen on", address, &[path], timeout, waiting)?;
        }
        Ok(Self {
            listener,
            ready,
            limit: descriptor_limit::raise(options.successor),
        })
    }

    /// The kind of socket to serve. An inherited one has its own, unless the address insists.
    pub(crate) fn kind(&self, address: &Address) -> anyhow::Result<Kind> {
        match (&self.listener, address.name()) {
            (Some(fd), Name::Systemd(_)) => {
                systemd::kind(address, fd).map_err(|error| cannot_listen(&address.quoted(), &error))
            }
            _ => Ok(address.kind()),
        }
    }

    /// Opens the socket: adopts the inherited one, or claims the address, which may be a takeover.
    /// `None` where a signal ends the server before that.
    pub(crate) async fn open(
        &mut self,
        side: &ListeningSide<'_>,
        kind: Kind,
        lifecycle: &mut Lifecycle,
    ) -> anyhow::Result<Option<ServedSocket>> {
        if let Some(fd) = self.listener.take() {
            let adopted = ServedSocket::adopt(fd, kind, side.allows_fd_passing);
            let adopted = adopted.and_then(|socket| {
                // A server of datagrams does so itself.
                if side.reports_credentials && kind != Kind::Datagram {
                    pass_credentials(&socket, true).map_err(AdoptError::Io)?;
                }
                Ok(Some(socket))
            });
            return adopted.map_err(|error| cannot_listen(&side.address.quoted(), &error));
        }
        tokio::select! {
            biased;
            // A takeover can take long; meanwhile the path stays with the server that has it.
            name = lifecycle.next_signal() => {
                stopped_early(name);
                Ok(None)
            }
            socket = claim(side) => socket.map(Some),
        }
    }

    /// Tells the log, the service manager and `--ready-fd` that clients can connect.
    pub(crate) fn announce(
        &mut self,
        address: &Address,
        socket: &ServedSocket,
        lifecycle: &mut Lifecycle,
    ) {
        lifecycle.connect_manager();
        if let Some(predecessor) = socket.predecessor() {
            info!("took over from {predecessor}");
        }
        self.announce_name(
            &address.to_string(),
            &name_beside(address, socket),
            lifecycle,
        );
    }

    /// As [`Self::announce`]: listening on `address`, which is also called `beside`.
    pub(crate) fn announce_name(&mut self, address: &str, beside: &str, lifecycle: &Lifecycle) {
        info!("listening on {}{beside}", escape::address(address));
        lifecycle.ready(address);
        self.tell_ready();
    }

    /// Tells `--ready-fd`.
    pub(crate) fn tell_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // The process that asked for it may have ended; that does not concern the clients.
            if let Err(error) = rustix::io::write(&ready, b"\n") {
                warn!("cannot write to the descriptor of --ready-fd: {error}; nobody was told");
            }
        }
    }
}

/// Checks that the file system of something beside the socket answers.
///
/// # Errors
/// Exit 6 if it does not.
pub(crate) fn must_answer(address: &Address, path: &Path) -> anyhow::Result<()> {
    let waiting = |what: &str| warn!("waiting for {what}");
    hung::must_answer("listen on", address, &[path], FILE_SYSTEM_TIMEOUT, waiting)
}

/// Tells the log that a signal has ended the server before it listened.
pub(crate) fn stopped_early(signal: &str) {
    info!("stopping on {signal} before anybody was served");
    info!("stopped: {}", Report::default());
}

/// One thread: the work for a message is smaller than handing it to another thread.
pub(crate) fn runtime(address: &str, blocking_threads: usize) -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking_threads)
        .thread_keep_alive(Duration::MAX)
        .build()
        .map_err(|error| cannot_start(address, &error))
}

/// Gets the fds that tokio begins with, and a thread where one will be needed, and gives them back:
/// tokio panics where it cannot have them.
pub(crate) fn can_start(address: &str, needs_thread: bool) -> anyhow::Result<()> {
    try_start(needs_thread).map_err(|error| cannot_start(address, &error))
}

fn try_start(needs_thread: bool) -> io::Result<()> {
    // For signals it makes such a pair, after three fds for epoll(7).
    let (one, _other) = UnixStream::pair()?;
    let _three = [dup(&one)?, dup(&one)?, dup(&one)?];
    if needs_thread {
        let thread = thread::Builder::new().spawn(|| ())?;
        let _ = thread.join();
    }
    Ok(())
}

async fn claim(side: &ListeningSide<'_>) -> anyhow::Result<ServedSocket> {
    let (address, options) = (side.address, side.options);
    let claim = options.claim().allow_fd_passing(side.allows_fd_passing);
    let claim = claim.pass_credentials(side.reports_credentials);
    let socket = if options.takeover {
        let from = options.takeover_from.iter().filter_map(TypedId::number);
        let takeover = from.fold(Takeover::new(claim), Takeover::from_user);
        ServedSocket::take_over(takeover, address).await?
    } else {
        ServedSocket::from_claim(claim.claim(address)?)?
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

/// The name to call an inherited socket by, in parentheses.
fn name_beside(address: &Address, socket: &ServedSocket) -> String {
    if !matches!(address.name(), Name::Fd(_) | Name::Systemd(_)) {
        return String::new();
    }
    socket.address().map_or_else(String::new, |name| {
        format!(" ({})", escape::address(&name.to_string()))
    })
}
