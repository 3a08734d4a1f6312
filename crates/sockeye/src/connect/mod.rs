//! [`Connector`]: from an address to a connection, or to a reason why not.

mod error;

use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, openat, stat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, connect};

pub use error::{ConnectError, ConnectErrorKind};

use crate::address::{Address, Kind, MAX_NAME, Name};
use crate::adopt;
use crate::socket;

/// The first pause between two attempts; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Connects to a server, with a bound on how long that may take.
///
/// ```no_run
/// use std::time::Duration;
/// use sockeye::{Address, Connector};
///
/// let address: Address = "/run/app.sock".parse()?;
/// let stream = Connector::new()
///     .wait_for(Duration::from_secs(5))
///     .connect_blocking(&address)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    connect_timeout: Duration,
    wait_for: Duration,
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// Ten seconds for a server with a full backlog, no waiting for one that is not there.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            wait_for: Duration::ZERO,
        }
    }

    /// How long a server that is there but has a full backlog is tried, from the first attempt
    /// that found it. Any other server is connected to at once.
    ///
    /// The kernel gives no sign when a backlog has room again (a socket that was refused with
    /// `EAGAIN` turns writable without being connected), so attempts are made on a timer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for a server to appear where there is none yet: no file, or one that
    /// nobody listens on. Attempts are made after 2 ms and then at twice the distance each, up to
    /// 100 ms.
    #[must_use]
    pub fn wait_for(mut self, time: Duration) -> Self {
        self.wait_for = time;
        self
    }

    /// Connects and blocks the thread meanwhile.
    ///
    /// # Errors
    /// [`ConnectError`] says what was found at the address.
    pub fn connect_blocking(&self, address: &Address) -> Result<UnixStream, ConnectError> {
        let mut attempts = Attempts::new(self, address);
        loop {
            match attempts.next()? {
                Step::Connected(socket) => {
                    let stream = UnixStream::from(socket);
                    stream
                        .set_nonblocking(false)
                        .map_err(|error| ConnectError::io(address, error))?;
                    return Ok(stream);
                }
                Step::Pause(time) => std::thread::sleep(time),
            }
        }
    }

    /// Connects on a tokio runtime.
    ///
    /// # Errors
    /// As [`Connector::connect_blocking`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up; a connection is either returned or was never made.
    #[cfg(feature = "tokio")]
    pub async fn connect(&self, address: &Address) -> Result<crate::Stream, ConnectError> {
        let mut attempts = Attempts::new(self, address);
        loop {
            match attempts.next()? {
                Step::Connected(socket) => {
                    return crate::Stream::from_nonblocking(socket)
                        .map_err(|error| ConnectError::io(address, error));
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
            }
        }
    }
}

enum Step {
    Connected(OwnedFd),
    Pause(Duration),
}

/// The attempts to reach one address, and the pauses between them.
struct Attempts<'a> {
    connector: &'a Connector,
    address: &'a Address,
    started: Instant,
    /// When a server with a full backlog was found first.
    full_since: Option<Instant>,
    pause: Duration,
    random: RandomState,
}

impl<'a> Attempts<'a> {
    fn new(connector: &'a Connector, address: &'a Address) -> Self {
        Self {
            connector,
            address,
            started: Instant::now(),
            full_since: None,
            pause: FIRST_PAUSE,
            random: RandomState::new(),
        }
    }

    fn next(&mut self) -> Result<Step, ConnectError> {
        let errno = match attempt(self.address) {
            Ok(socket) => return Ok(Step::Connected(socket)),
            Err(Failure::Final(error)) => return Err(*error),
            Err(Failure::Errno(errno)) => errno,
        };
        let now = Instant::now();
        let (began, allowed) = if errno == Errno::AGAIN {
            let began = *self.full_since.get_or_insert(now);
            (began, self.connector.connect_timeout)
        } else {
            (self.started, self.connector.wait_for)
        };
        let left = allowed.saturating_sub(now - began);
        let error = || ConnectError::explain(self.address, errno);
        let may_pass = errno == Errno::AGAIN
            || (!allowed.is_zero() && a_server_would_help(self.address, errno));
        if !may_pass {
            return Err(error());
        }
        if left.is_zero() {
            return Err(error().after(allowed));
        }
        // Between half and all of the pause, so that many clients do not come at the same moment.
        let share = 500 + self.random.hash_one(now) % 501;
        let pause = self.pause.mul_f64(share as f64 / 1000.0);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(Step::Pause(pause.min(left)))
    }
}

/// Whether a server that starts later would change the answer. Asked at each attempt, so it costs
/// one stat(2) at most.
fn a_server_would_help(address: &Address, errno: Errno) -> bool {
    match (errno, address.path()) {
        (Errno::NOENT, _) | (Errno::CONNREFUSED, None) => true,
        (Errno::CONNREFUSED, Some(path)) => {
            let found = stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode));
            !matches!(found, Ok(other) if other != FileType::Socket)
        }
        _ => false,
    }
}

enum Failure {
    Errno(Errno),
    Final(Box<ConnectError>),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// One connect(2) that does not block; the socket stays non-blocking.
fn attempt(address: &Address) -> Result<OwnedFd, Failure> {
    let unsupported = |kind| Failure::Final(Box::new(ConnectError::new(address, kind)));
    if address.kind() != Kind::Stream {
        return Err(unsupported(ConnectErrorKind::NotAStreamAddress));
    }
    let (target, _held) = match address.name() {
        Name::Path(path) if path.as_os_str().len() <= MAX_NAME => {
            (SocketAddrUnix::new(path.as_path())?, None)
        }
        Name::Path(path) => {
            // Too long for a socket address; a descriptor of the socket file leads there as well.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = openat(CWD, path.as_path(), flags, Mode::empty())?;
            (SocketAddrUnix::new(socket::path_of(&file))?, Some(file))
        }
        Name::Abstract(name) => (SocketAddrUnix::new_abstract_name(name)?, None),
        Name::Fd(raw) => {
            return adopt::inherited(*raw)
                .and_then(|fd| {
                    adopt::stream(std::os::fd::AsFd::as_fd(&fd))?;
                    rustix::io::ioctl_fionbio(&fd, true)?;
                    Ok(fd)
                })
                .map_err(|error| unsupported(ConnectErrorKind::NotAdopted(error)));
        }
        Name::Systemd(_) => return Err(unsupported(ConnectErrorKind::NotAStreamAddress)),
    };
    let stream = socket::new(Kind::Stream, SocketFlags::NONBLOCK)?;
    connect(&stream, &target)?;
    Ok(stream)
}
