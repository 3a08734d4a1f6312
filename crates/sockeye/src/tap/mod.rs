//! [`Tap`]: stands in front of a live socket, without a restart of its server, and restores it.
//!
//! A tap binds a socket of its own beside that of the server, with the same mode, owner and access list,
//! and swaps their names (renameat2(2), `RENAME_EXCHANGE`): at no instant is the path without a file.
//! Clients that connect from then on reach the tap, which connects to the server through an fd of the
//! server's socket file. At the end the names are swapped back, and the path is the same inode as before.
//! A guardian process does that where the tap is killed.
//!
//! ```no_run
//! use sockeye::relay::Relay;
//! use sockeye::server::Connection;
//! use sockeye::tap::Tap;
//! use sockeye::{Connector, Listener, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut tap = Tap::begin(&"/run/app.sock".parse()?)?;
//! let (server, relay) = (tap.server().clone(), Relay::new());
//! let handler = move |client: Connection| {
//!     let (server, relay) = (server.clone(), relay.clone());
//!     async move {
//!         let target = Connector::new().allow_fd_passing(true).connect(&server).await?;
//!         println!("{:?}", relay.join(client, target).await?);
//!         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//!     }
//! };
//! let listener: Listener = tap.listen()?;
//! let ended = async move {
//!     tap.ended().await;
//!     // Clients reach the server itself from now on.
//!     let _ = tap.restore();
//! };
//! Server::new().run(listener, handler, ended).await?;
//! # Ok(())
//! # }
//! ```

mod displacement;
mod error;
mod file_mounts;
mod guardian;
mod listening;
mod names;
mod restore;
mod server;
mod state_file;
mod twin;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::net::sockopt::set_socket_passcred;
use rustix::process::Pid;
use tokio::time::{MissedTickBehavior, interval};

pub use error::{TapError, TapErrorKind};
pub use restore::Restored;
pub use server::Unseen;

use crate::address::{Address, Kind, Name};
use crate::claim::{Place, displaced_path, tap_lock_base};
use crate::listener::{ConnectedSocket, SocketListener};
use crate::packet::Datagram;
use crate::socket;
use displacement::{Displacement, remove_unused, restore_left};
use names::TapNames;
use server::TappedServer;
use state_file::StateFile;
use twin::TwinFiles;

/// How often it is looked whether the server, its file and the path are still there. A closed socket
/// is no event that could be waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A path that a tap has displaced. Dropping it restores the path.
#[must_use = "dropping it restores the path"]
pub struct Tap {
    address: Address,
    server_address: Address,
    // Dropped in this order: the path is restored while both sockets' files cannot be others.
    displacement: Displacement,
    socket: Option<OwnedFd>,
    server: TappedServer,
    twins: TwinFiles,
}

/// How a tap steps in front of a server.
#[derive(Debug, Clone, Default)]
pub struct TapOptions {
    pass_credentials: bool,
}

/// Why a tap is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapEnd {
    /// The server's socket is closed.
    ServerEnded,
    /// The server, or somebody else, has put another file at the path, or removed it.
    PathReplaced,
    /// The server has removed its own file, as at the end of a drain.
    PathGivenUp,
}

impl TapOptions {
    /// Has the kernel add the credentials of the sender to each message of a client (`SO_PASSCRED`), from
    /// the first one on: for [`Relay::forward_credentials`](crate::relay::Relay::forward_credentials) and
    /// its like of datagrams. Off by default.
    #[must_use]
    pub fn pass_credentials(mut self, pass: bool) -> Self {
        self.pass_credentials = pass;
        self
    }

    /// Steps in front of the server that listens at `address`, a path. A symbolic link is followed, and
    /// the file that it leads to is displaced. What a killed tap has left there is restored first.
    ///
    /// As root it calls listen(2) with the ids with which the server has, so that clients see those
    /// (`SO_PEERCRED`). The process is forked for the guardian. It blocks for some milliseconds, and as
    /// long as the file system of the path does.
    ///
    /// # Errors
    /// [`TapError`]; nothing was changed then.
    pub fn begin(&self, address: &Address) -> Result<Tap, TapError> {
        let (address, place, names) = open(address)?;
        let io = |errno: Errno| TapError::io(&address, errno);
        // Before the lock file is made, where nothing is left to be restored.
        let found = match names.look_at(&names.displaced).map_err(io)? {
            Some(_) => None,
            None => Some(TappedServer::find(&address, &place, &names)?),
        };
        let mut displacement = Displacement::begin(&address, names)?;
        let server = match found {
            Some(server) => server,
            None => TappedServer::find(&address, &place, &displacement.names)?,
        };
        let socket = socket::new(address.kind(), SocketFlags::NONBLOCK).map_err(io)?;
        if self.pass_credentials {
            set_socket_passcred(&socket, true).map_err(io)?;
        }
        displacement.bind(&address, &place, &socket, &server)?;
        if address.kind() != Kind::Datagram {
            listening::listen_as(&socket, server.listened_as.as_ref()).map_err(io)?;
        }
        displacement.step_in(&address)?;
        let server_address = server.address(address.kind());
        let server_address = server_address.ok_or_else(|| io(Errno::INVAL))?;
        let tap_file = displacement.tap_file().ok_or_else(|| io(Errno::BADF))?;
        let twins = TwinFiles::new(tap_file, &server.file).map_err(io)?;
        Ok(Tap {
            address,
            server_address,
            displacement,
            socket: Some(socket),
            server,
            twins,
        })
    }
}

impl Tap {
    /// The default options.
    #[must_use]
    pub fn options() -> TapOptions {
        TapOptions::default()
    }

    /// As [`TapOptions::begin`], with the default options.
    ///
    /// # Errors
    /// [`TapError`]; nothing was changed then.
    pub fn begin(address: &Address) -> Result<Self, TapError> {
        Self::options().begin(address)
    }

    /// Whether a server listens at `address` that a tap could step in front of. Nothing is changed.
    ///
    /// # Errors
    /// [`TapError`], as [`TapOptions::begin`], but for the directory, which may deny it still.
    pub fn check(address: &Address) -> Result<(), TapError> {
        let (address, place, names) = open(address)?;
        let found = names.look_at(&names.displaced);
        match found.map_err(|errno| TapError::io(&address, errno))? {
            // Another tap is there, or has left it.
            Some(_) => Ok(()),
            None => TappedServer::find(&address, &place, &names).map(drop),
        }
    }

    /// Restores a path whose tap and its guardian were killed.
    ///
    /// # Errors
    /// [`TapErrorKind::NothingToRestore`] where that is not so, and [`TapErrorKind::Tapped`] where a tap
    /// stands in front of it; nothing was changed then.
    pub fn restore_path(address: &Address) -> Result<Restored, TapError> {
        restore_path(address).map_err(TapError::of_restore)
    }
    /// The displaced path: that of the file itself where a symbolic link was given.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where to connect to the server, while this exists. It leads through an fd of this process.
    #[must_use]
    pub fn server(&self) -> &Address {
        &self.server_address
    }

    /// The process that listens, where that can be known.
    #[must_use]
    pub fn server_pid(&self) -> Option<Pid> {
        self.server.pid
    }

    /// The name that the server's socket has meanwhile.
    #[must_use]
    pub fn displaced_path(&self) -> PathBuf {
        displaced_path(self.address.path().unwrap_or("".as_ref()))
    }

    /// What it cannot see.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        self.server.unseen
    }

    /// The listener in front of a stream or seqpacket server; fds may be passed there. To be called once.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the server is of another kind, or it was called before.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn listen<S: ConnectedSocket>(&mut self) -> io::Result<SocketListener<S>> {
        if S::KIND != Some(self.address.kind()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        SocketListener::in_front(self.take_socket()?)
    }

    /// The socket in front of a datagram server. To be called once.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the server is of another kind, or it was called before.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn datagrams(&mut self) -> io::Result<Datagram> {
        if self.address.kind() != Kind::Datagram {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Datagram::from_nonblocking(self.take_socket()?)
    }

    fn take_socket(&mut self) -> io::Result<OwnedFd> {
        self.socket.take().ok_or(io::ErrorKind::Unsupported.into())
    }

    /// Waits until the tap is to end, since the server has ended or has given up the path: 50 ms later
    /// at most. Until then the mode, the owner and the access list of both files are kept equal.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn ended(&mut self) -> TapEnd {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Some(end) = self.look() {
                return end;
            }
        }
    }

    fn look(&mut self) -> Option<TapEnd> {
        let names = &self.displacement.names;
        let files = self.displacement.files()?;
        // What cannot be looked at now is looked at again.
        if let Ok(found) = names.look_at(&names.path)
            && !files.is_tap(found.as_ref())
        {
            return Some(TapEnd::PathReplaced);
        }
        if let Ok(found) = names.look_at(&names.displaced)
            && !files.is_original(found.as_ref())
        {
            return Some(TapEnd::PathGivenUp);
        }
        if !self.server.is_alive() {
            return Some(TapEnd::ServerEnded);
        }
        self.keep_equal();
        None
    }

    fn keep_equal(&mut self) {
        if let Some(tap_file) = self.displacement.tap_file() {
            self.twins
                .keep_equal(&self.address, tap_file, &self.server.file);
        }
    }

    /// Gives the path back. Clients that have looked up the path before may still connect to the tap, so
    /// its listener should accept for a moment more.
    ///
    /// # Errors
    /// As renameat2(2) and unlinkat(2): the directory may not be written any more.
    pub fn restore(&mut self) -> Result<Restored, TapError> {
        // What was changed since the last look.
        self.keep_equal();
        let restored = self.displacement.restore();
        restored.map_err(|errno| TapError::io(&self.address, errno))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("address", &self.address)
            .field("server", &self.server_address)
            .finish_non_exhaustive()
    }
}

fn restore_path(address: &Address) -> Result<Restored, TapError> {
    let (address, _, names) = open(address)?;
    let nothing = || TapError::new(&address, TapErrorKind::NothingToRestore);
    let found = names.look_at(&names.lock);
    if found
        .map_err(|errno| TapError::io(&address, errno))?
        .is_none()
    {
        return Err(nothing());
    }
    let (state, left) = StateFile::take(&address, &names)?;
    let restored = match left {
        Some(files) => {
            restore_left(files, &names).map_err(|errno| TapError::io(&address, errno))?
        }
        None => remove_unused(&names).map_err(|errno| TapError::io(&address, errno))?,
    };
    state.remove(&names);
    match restored {
        Restored::Unchanged => Err(nothing()),
        restored => Ok(restored),
    }
}

/// The path of the socket itself, its directory, and the names in it.
fn open(address: &Address) -> Result<(Address, Place, TapNames), TapError> {
    let Name::Path(path) = address.name() else {
        return Err(TapError::new(address, TapErrorKind::NotAPath));
    };
    let address = followed(address, path);
    let path = address.path().unwrap_or(path);
    let place = Place::open(&address, path).map_err(TapError::claim)?;
    if is_displaced(&place) {
        let kind = TapErrorKind::Displaced;
        return Err(TapError::new(&address, kind));
    }
    let names = TapNames::of(&place).map_err(|errno| TapError::io(&address, errno))?;
    Ok((address, place, names))
}

/// Whether it is the name that a tap gives to the socket of a server behind it.
fn is_displaced(place: &Place) -> bool {
    let name = place.base.as_bytes();
    let tapped = name
        .strip_prefix(b".")
        .and_then(|name| name.strip_suffix(b".tap"));
    let lock = tapped.map(|name| tap_lock_base(OsStr::from_bytes(name)));
    lock.is_some_and(|lock| matches!(place.look_at(&lock), Ok(Some(_))))
}

/// Where a symbolic link leads.
fn followed(address: &Address, path: &Path) -> Address {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let real = is_link.then(|| std::fs::canonicalize(path).ok()).flatten();
    let real = real.and_then(|real| Address::new(address.kind(), &Name::Path(real)).ok());
    real.unwrap_or_else(|| address.clone())
}
