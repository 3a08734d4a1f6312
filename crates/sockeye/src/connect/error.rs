//! [`ConnectError`]: why there is no connection.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::address::{Address, Kind, quoted};
use crate::adopt::AdoptError;
use crate::claim::{Doubt, ProcessLink, WORKING_DIRECTORY_REMOVED, file_type_name, hint_for};
use crate::ids::Shown;

/// Why there is no connection: what was tried, what was found, what to do.
#[derive(Debug)]
pub struct ConnectError {
    address: Address,
    // Boxed to keep the results of connecting small.
    kind: Box<ConnectErrorKind>,
    waited: Option<Duration>,
    source: Option<io::Error>,
}

/// What was found at the address.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// Nothing is there.
    Absent,
    /// A symbolic link to this path, where nothing is.
    DanglingLink(PathBuf),
    /// A directory on the way does not exist.
    ParentMissing(PathBuf),
    /// The address begins in the working directory, which was removed.
    WorkingDirectoryRemoved,
    /// Something on the way is no directory.
    ParentNotADirectory(PathBuf),
    /// A socket file that nobody listens on.
    Stale,
    /// A socket file at which nobody can be reached, though a living socket may be bound to it.
    Unclear(Doubt),
    /// Nobody has this abstract name.
    NobodyListens,
    /// A server has the address but does not listen: not yet, or not any more.
    NotListening {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// Something else than a socket.
    NotASocket(FileType),
    /// A socket of another kind.
    WrongKind {
        /// Its kind, where that can be known.
        actual: Option<Kind>,
    },
    /// A directory on the way may not be entered.
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
    /// The owner of the datagram socket has connected it to another one, so that it takes nothing
    /// from us (connect(2), `EPERM`).
    ConnectedElsewhere,
    /// A server is there but its backlog stayed full.
    BacklogFull,
    /// The address is of another kind than the connection asked for.
    WrongAddressKind {
        /// What was asked for.
        wanted: Kind,
    },
    /// The address names a socket of this process, and not one to connect to.
    NotAnAddressToCall,
    /// An inherited descriptor is not a connection.
    NotAdopted(AdoptError),
    /// A system call failed.
    Io,
}

impl ConnectError {
    pub(super) fn new(address: &Address, kind: ConnectErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind: Box::new(kind),
            waited: None,
            source: None,
        }
    }

    pub(super) fn io(address: &Address, source: io::Error) -> Self {
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

    /// How long it was tried in vain, where the time allowed for it ran out.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.waited
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        write!(f, "cannot connect to {}: ", address.quoted())?;
        let (waited, start) = match self.waited {
            Some(Duration::ZERO) => (String::new(), "start the server or wait longer"),
            Some(time) => (
                format!(" after {time:?} of waiting"),
                "start the server or wait longer",
            ),
            None => (String::new(), "start the server or check the name"),
        };
        match &*self.kind {
            ConnectErrorKind::Absent => {
                write!(f, "there is no such file{waited}; {start}")
            }
            ConnectErrorKind::DanglingLink(target) => {
                let target = quoted(target);
                write!(
                    f,
                    "it is a symbolic link to {target}, which does not exist{waited}; {start}"
                )
            }
            ConnectErrorKind::ParentMissing(directory) => {
                let directory = quoted(directory);
                write!(
                    f,
                    "the directory {directory} does not exist{waited}; {start}"
                )
            }
            ConnectErrorKind::WorkingDirectoryRemoved => f.write_str(WORKING_DIRECTORY_REMOVED),
            ConnectErrorKind::ProcessDenies(link) => write!(f, "{link}"),
            ConnectErrorKind::ParentNotADirectory(path) => {
                write!(f, "{} is not a directory; check the path", quoted(path))
            }
            ConnectErrorKind::Stale => write!(
                f,
                "the socket file is there but nobody listens on it{waited} (left behind by a server that was killed); start the server, it will replace the file"
            ),
            ConnectErrorKind::Unclear(doubt) => write!(
                f,
                "nobody answers at the socket file{waited} ({doubt}); connect to the path that its server has bound"
            ),
            ConnectErrorKind::NobodyListens => {
                write!(f, "nobody listens on this name{waited}; {start}")
            }
            ConnectErrorKind::NotListening { pid } => {
                f.write_str("its server")?;
                if let Some(pid) = pid {
                    write!(f, " (pid {})", pid.as_raw_pid())?;
                }
                write!(
                    f,
                    " is there but does not listen, not yet or not any more{waited}; try again, or look at that process"
                )
            }
            ConnectErrorKind::NotASocket(file) => write!(
                f,
                "the path is {}, not a socket; give the path of the server's socket",
                file_type_name(*file)
            ),
            ConnectErrorKind::WrongKind { actual } => {
                let wanted = address.kind();
                match actual {
                    Some(kind) => write!(
                        f,
                        "the server there has a {kind} socket, not a {wanted} one; give the address as {}",
                        with_kind(address, *kind)
                    ),
                    None => write!(
                        f,
                        "the server there has a socket of another kind, not a {wanted} one; look with sockeye why {}",
                        address.shell_quoted()
                    ),
                }
            }
            ConnectErrorKind::DirectoryDenies {
                directory,
                mode_and_owner,
            } => {
                write!(f, "the directory {}", quoted(directory))?;
                fmt_mode(f, *mode_and_owner)?;
                write!(
                    f,
                    " does not let uid {} pass, which takes its execute bit (x); ask its owner, or run as another user",
                    rustix::process::geteuid().as_raw()
                )
            }
            ConnectErrorKind::ModeDenies { mode_and_owner } => {
                f.write_str("the socket file")?;
                fmt_mode(f, *mode_and_owner)?;
                write!(
                    f,
                    " gives uid {} no write permission (w), which connecting takes; ask its owner, or run as another user",
                    rustix::process::geteuid().as_raw()
                )
            }
            ConnectErrorKind::Denied => f.write_str(
                "all permissions allow it, and the kernel refuses it: a security module (SELinux, AppArmor, Landlock) or a seccomp filter; look in the audit log, or ask the administrator",
            ),
            ConnectErrorKind::ConnectedElsewhere => f.write_str(
                "its owner has connected the socket to another one, so that it takes nothing from others (EPERM); look at that process: a server must not connect its datagram socket",
            ),
            ConnectErrorKind::BacklogFull => write!(
                f,
                "a server is there but does not accept, its backlog is full{waited}; wait longer, or look at what keeps it busy"
            ),
            ConnectErrorKind::WrongAddressKind { wanted } => write!(
                f,
                "it is the address of a {} socket, and a {wanted} socket is to be connected; give the address as {}",
                address.kind(),
                with_kind(address, *wanted)
            ),
            ConnectErrorKind::NotAnAddressToCall => {
                f.write_str("nobody can be called there; give a path or @name")
            }
            ConnectErrorKind::NotAdopted(error) => write!(f, "{error}"),
            ConnectErrorKind::Io => match &self.source {
                Some(source) => {
                    write!(f, "{source}; {}", hint_for(Errno::from_io_error(source)))
                }
                None => f.write_str("unknown error"),
            },
        }
    }
}

/// The address with another kind, as an argument.
fn with_kind(address: &Address, kind: Kind) -> String {
    let other = Address::new(kind, address.name());
    other.map_or_else(|_| kind.to_string(), |other| other.shell_quoted())
}

fn fmt_mode(f: &mut fmt::Formatter<'_>, mode_and_owner: Option<(u32, Option<u32>)>) -> fmt::Result {
    match mode_and_owner {
        Some((mode, owner)) => write!(f, " (mode {mode:04o}, owner uid {})", Shown(owner)),
        None => Ok(()),
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
