//! [`TapError`]: why a tap could not step in front of a socket, or restore it.

use std::fmt;
use std::io;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::address::{Address, Kind};
use crate::claim::ClaimError;
use crate::hint::{file_type_name, hint_for};

/// Why a tap could not step in front of a socket, or restore it: what was tried, what was found, what
/// to do. Nothing was changed then.
pub struct TapError {
    address: Address,
    kind: TapErrorKind,
    is_restore: bool,
}

crate::error_debug::debug_as_display!(TapError);

/// What prevents a tap.
#[non_exhaustive]
pub enum TapErrorKind {
    /// The address is no path.
    NotAPath,
    /// There is no file at the path.
    Absent,
    /// The file at the path is not a socket.
    NotASocket(FileType),
    /// Nobody listens on the socket file.
    NoServer,
    /// A process has bound the socket, and does not listen.
    NotListening,
    /// The server's socket is of this other kind.
    WrongKind(Kind),
    /// Another tap stands in front of it.
    Tapped {
        /// Its process, or its guardian, where that can be known.
        pid: Option<Pid>,
    },
    /// It is the name that a tap has given to the server's socket.
    Displaced,
    /// The directory may not be written.
    DirectoryDenies,
    /// The state file of another user's tap, which was killed, may not be opened.
    StateFileDenies,
    /// A file with the name of the state file belongs to somebody else.
    ForeignStateFile,
    /// A file is at the displaced name that no tap has put there.
    ForeignDisplacedFile,
    /// The server has replaced its socket at the same time.
    Replaced,
    /// The file system cannot exchange two names (renameat2(2)).
    NoExchange,
    /// The path is a mount of a socket file (bind mount), which cannot be exchanged.
    MountPoint,
    /// There is nothing to restore.
    NothingToRestore,
    /// The tap's own socket could not be made in that directory.
    Claim(Box<ClaimError>),
    /// A system call failed.
    Io(io::Error),
}

crate::error_debug::debug_as_display!(TapErrorKind);

impl TapError {
    pub(super) fn new(address: &Address, kind: TapErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind,
            is_restore: false,
        }
    }

    /// Of a path that was to be restored.
    pub(super) fn of_restore(mut self) -> Self {
        self.is_restore = true;
        self
    }

    pub(super) fn io(address: &Address, error: impl Into<io::Error>) -> Self {
        Self::new(address, TapErrorKind::Io(error.into()))
    }

    pub(super) fn claim(error: ClaimError) -> Self {
        Self::new(
            &error.address().clone(),
            TapErrorKind::Claim(Box::new(error)),
        )
    }

    /// What stands in the way.
    #[must_use]
    pub fn kind(&self) -> &TapErrorKind {
        &self.kind
    }

    /// The address that was to be tapped.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried = if self.is_restore { "restore" } else { "tap" };
        if let TapErrorKind::Claim(error) = &self.kind {
            return claim_text(f, tried, error);
        }
        write!(f, "cannot {tried} {}: {}", self.address.quoted(), self.kind)
    }
}

impl fmt::Display for TapErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPath => f.write_str(
                "only a socket file can be displaced; have the tap listen at another address (--listen), and clients connect there",
            ),
            Self::Absent => f.write_str("there is no file; start the server first, or check the path"),
            Self::NotASocket(file) => {
                write!(f, "it is {}, not a socket; check the path", file_type_name(*file))
            }
            Self::NoServer => f.write_str("nobody listens on the socket file; start the server first"),
            Self::NotListening => {
                f.write_str("a process has bound the socket file but does not listen; wait until it does")
            }
            Self::WrongKind(kind) => {
                let name = match kind {
                    Kind::Stream => "a stream socket; give the path without a prefix",
                    Kind::SeqPacket => "a seqpacket socket; put seqpacket: in front of the path",
                    Kind::Datagram => "a datagram socket; put dgram: in front of the path",
                };
                write!(f, "it is {name}")
            }
            Self::Tapped { pid } => {
                f.write_str("another tap stands in front of it")?;
                if let Some(pid) = pid {
                    write!(f, " (pid {})", pid.as_raw_pid())?;
                }
                f.write_str("; end that one first")
            }
            Self::Displaced => f.write_str(
                "it is the socket of a server behind a tap; give the path of that server (or --restore it, where the tap was killed)",
            ),
            Self::DirectoryDenies => f.write_str(
                "the directory may not be written, and a tap has a socket of its own there; run it as root or as the user of the server",
            ),
            Self::StateFileDenies => f.write_str(
                "the lock beside it (.tap.lock) is that of another user's tap, which was killed; run it as that user or as root",
            ),
            Self::ForeignStateFile => f.write_str(
                "the file beside it that would be the tap's lock (.tap.lock) is not one of ours; remove it",
            ),
            Self::ForeignDisplacedFile => f.write_str(
                "the file beside it that would be the tap's socket (.tap) was not put there by a tap; remove it",
            ),
            Self::Replaced => f.write_str("the server has replaced its socket at the same time; try again"),
            Self::NoExchange => f.write_str(
                "its file system cannot exchange two names (renameat2(2) with RENAME_EXCHANGE); have the tap listen at another address (--listen)",
            ),
            Self::MountPoint => f.write_str(
                "another socket file is mounted there, and a mount cannot be exchanged; tap the mounted file by its own path, or have the tap listen at another address (--listen)",
            ),
            Self::NothingToRestore => f.write_str("no tap was killed in front of it; nothing was changed"),
            Self::Claim(error) => error.fmt(f),
            Self::Io(error) => write!(f, "{error}; {}", hint_for(Errno::from_io_error(error))),
        }
    }
}

/// The sentence of a claim, which nobody has asked for: the tap's own socket is to be made.
fn claim_text(f: &mut fmt::Formatter<'_>, tried: &str, error: &ClaimError) -> fmt::Result {
    let text = error.to_string();
    match text.strip_prefix("cannot listen on ") {
        Some(rest) => write!(f, "cannot {tried} {rest}"),
        None => f.write_str(&text),
    }
}

impl std::error::Error for TapError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            TapErrorKind::Claim(error) => Some(&**error),
            TapErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
