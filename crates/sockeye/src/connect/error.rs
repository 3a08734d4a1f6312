//! [`ConnectError`]: why there is no connection.

mod text;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::Pid;

use crate::address::{Address, Kind};
use crate::adopt::AdoptError;
use crate::claim::{ProcessLink, UnclearReason};

/// Why there is no connection: what was tried, what was found, what to do.
pub struct ConnectError {
    address: Address,
    /// Who has tried: permissions are those of the thread.
    uid: u32,
    // Boxed to keep the results of connecting small.
    kind: Box<ConnectErrorKind>,
    waited: Option<Duration>,
    source: Option<io::Error>,
}

crate::error_debug::debug_as_display!(ConnectError);

/// What was found at the address.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// Nothing is there.
    Absent,
    /// A symbolic link to this path, where nothing is.
    DanglingLink(PathBuf),
    /// A directory of the path does not exist.
    ParentMissing(PathBuf),
    /// The address begins in the working directory, which was removed.
    WorkingDirectoryRemoved,
    /// A part of the path is not a directory.
    ParentNotADirectory(PathBuf),
    /// A socket file that nobody listens on.
    Stale,
    /// The socket file of a tap that was killed; that of the running server behind it is still where the
    /// tap has put it ([`displaced_path`](crate::claim::displaced_path)).
    Displaced {
        /// The server's process, where that can be known.
        pid: Option<Pid>,
        /// The path of the socket, without symbolic links.
        path: PathBuf,
    },
    /// A socket file at which connect(2) is refused, though an open socket may be bound to it.
    Unclear(UnclearReason),
    /// No socket has this abstract name.
    NobodyListens,
    /// A server has the address but does not listen: not yet, or not any more.
    NotListening {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// A file that is not a socket.
    NotASocket(FileType),
    /// A socket of another kind.
    WrongKind {
        /// Its kind, where that can be known.
        actual: Option<Kind>,
    },
    /// A directory of the path may not be entered.
    DirectoryDenies {
        /// The directory.
        directory: PathBuf,
        /// Its permission bits and its owner's uid, where we may see them; an owner without a
        /// mapping in our user namespace is `None`.
        mode_and_owner: Option<(u32, Option<u32>)>,
    },
    /// The way leads through a link of `/proc` that may not be followed.
    ProcessDenies(ProcessLink),
    /// The socket file may not be written.
    ModeDenies {
        /// Its permission bits and its owner's uid, where we may see them; an owner without a
        /// mapping in our user namespace is `None`.
        mode_and_owner: Option<(u32, Option<u32>)>,
    },
    /// Permissions let us connect, and the kernel refuses: a security module (SELinux, AppArmor,
    /// Landlock) or a seccomp filter.
    Denied,
    /// The owner of the datagram socket has connected it to another one, so it receives nothing from us
    /// (connect(2), `EPERM`).
    ConnectedElsewhere,
    /// The server's backlog stayed full.
    BacklogFull,
    /// The address is of another kind than the connection asked for.
    WrongAddressKind {
        /// What was asked for.
        wanted: Kind,
    },
    /// The address names a socket of this process (`fd:`, `systemd:`), not one to connect to.
    NotAnAddressToCall,
    /// An inherited fd is not a connection.
    NotAdopted(AdoptError),
    /// A system call failed.
    Io,
}

impl ConnectError {
    pub(super) fn new(address: &Address, kind: ConnectErrorKind) -> Self {
        Self {
            address: address.clone(),
            uid: rustix::process::geteuid().as_raw(),
            kind: Box::new(kind),
            waited: None,
            source: None,
        }
    }

    pub(crate) fn io(address: &Address, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(address, ConnectErrorKind::Io)
        }
    }

    pub(super) fn with_source(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn after(mut self, waited: Duration) -> Self {
        self.waited = Some(waited);
        self
    }

    /// What was found at the address.
    #[must_use]
    pub fn kind(&self) -> &ConnectErrorKind {
        &self.kind
    }

    /// The address that was to be connected to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How long attempts were made, if the time limit ran out.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
