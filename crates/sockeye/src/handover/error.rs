//! [`TakeoverError`]: why an address could be neither claimed nor taken over.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::address::{Address, Kind, escaped};
use crate::claim::{CONTROL_SUFFIX, ClaimError, ClaimErrorKind, Mismatch};
use crate::connect::ConnectError;
use crate::hint::hint_for;

/// Why an address could be neither claimed nor taken over: what was tried, what was found, what to
/// do. The server that was there goes on.
pub struct TakeoverError {
    address: Address,
    kind: Box<TakeoverErrorKind>,
}

crate::error_debug::debug_as_display!(TakeoverError);

/// What prevents a takeover.
#[derive(Debug)]
#[non_exhaustive]
pub enum TakeoverErrorKind {
    /// It cannot be claimed, and no server can hand it over; or the file that was taken over could not be
    /// given its mode and owner.
    Claim(ClaimError),
    /// The address is of another kind than the listener that was asked for.
    WrongKind {
        /// What the listener accepts.
        wanted: Kind,
    },
    /// A running server owns the address, and offers no takeover.
    NotOffered {
        /// Its process, where that can be known.
        pid: Option<Pid>,
    },
    /// The control socket is there and could not be connected to.
    Connect(ConnectError),
    /// The server that offers it is another user's, from which nothing may be taken
    /// ([`Takeover::from_user`](crate::Takeover::from_user)).
    ForeignServer {
        /// That user; `None` where it has no mapping in our user namespace.
        uid: Option<u32>,
    },
    /// The server does not hand over to our user: to its own and to root only, as its user namespace
    /// shows them.
    Denied {
        /// The server's user; `None` where it has no mapping in our user namespace.
        uid: Option<u32>,
    },
    /// An fd that the server has passed does not belong to the address.
    Mismatch(Mismatch),
    /// The server does not answer.
    TimedOut,
    /// The server's answer is not a frame of ours; its version may be another one.
    ProtocolViolation,
    /// A system call failed.
    Io(io::Error),
}

impl TakeoverError {
    pub(crate) fn new(address: &Address, kind: TakeoverErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind: Box::new(kind),
        }
    }

    pub(crate) fn claim(error: ClaimError) -> Self {
        Self::new(&error.address().clone(), TakeoverErrorKind::Claim(error))
    }

    pub(crate) fn not_offered(address: &Address, in_use: &ClaimError) -> Self {
        let pid = match in_use.kind() {
            ClaimErrorKind::InUse { pid } => *pid,
            _ => None,
        };
        Self::new(address, TakeoverErrorKind::NotOffered { pid })
    }

    pub(crate) fn connect(address: &Address, error: ConnectError) -> Self {
        Self::new(address, TakeoverErrorKind::Connect(error))
    }

    pub(crate) fn io(address: &Address, error: io::Error) -> Self {
        Self::new(address, TakeoverErrorKind::Io(error))
    }

    /// What stands in the way.
    #[must_use]
    pub fn kind(&self) -> &TakeoverErrorKind {
        &self.kind
    }

    /// The address that was to be taken over.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Display for TakeoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // These errors are complete sentences.
        match &*self.kind {
            TakeoverErrorKind::Claim(error) => return error.fmt(f),
            TakeoverErrorKind::Connect(error) => return error.fmt(f),
            _ => write!(f, "cannot take over {}: ", self.address.quoted())?,
        }
        match &*self.kind {
            TakeoverErrorKind::Claim(_) | TakeoverErrorKind::Connect(_) => Ok(()),
            TakeoverErrorKind::WrongKind { wanted } => wrong_kind(f, self.address.kind(), *wanted),
            TakeoverErrorKind::NotOffered { pid } => {
                f.write_str("a running server owns it")?;
                if let Some(pid) = pid {
                    write!(f, " (pid {})", pid.as_raw_pid())?;
                }
                write!(
                    f,
                    " and offers no takeover (there is no {}{CONTROL_SUFFIX}); stop it first, or send it SIGHUP if it was started with --takeover and that file was removed",
                    escaped(self.address.path().unwrap_or("".as_ref()))
                )
            }
            TakeoverErrorKind::ForeignServer { uid: Some(uid) } => write!(
                f,
                "the server belongs to uid {uid}, which may keep the listening socket and accept in our name; run as that user, or allow it by name (serve --takeover-from)"
            ),
            TakeoverErrorKind::ForeignServer { uid: None } => f.write_str(
                "whose server it is cannot be known in this user namespace, which does not map its uid; run where all uids are mapped",
            ),
            TakeoverErrorKind::Denied { uid } => denied(f, *uid),
            TakeoverErrorKind::Mismatch(Mismatch::Kind(found)) => write!(
                f,
                "a {found} server is there, and this one is to be a {} server; stop that one first, or ask for its kind",
                self.address.kind()
            ),
            TakeoverErrorKind::Mismatch(what) => {
                let what = match what {
                    Mismatch::Listener | Mismatch::Kind(_) => "listening socket",
                    Mismatch::Lock => "lock file",
                    Mismatch::Control => "control socket",
                };
                write!(
                    f,
                    "the {what} that its server has passed on is not the one at the path; stop that server, and see who replaces its files"
                )
            }
            TakeoverErrorKind::TimedOut => f.write_str(
                "its server does not answer in time; look what holds that up, or stop it",
            ),
            TakeoverErrorKind::ProtocolViolation => f.write_str(
                "its server answers something unknown, its version may be another one; stop it and start this one",
            ),
            TakeoverErrorKind::Io(error) => {
                write!(f, "{error}; {}", hint_for(Errno::from_io_error(error)))
            }
        }
    }
}

fn wrong_kind(f: &mut fmt::Formatter<'_>, kind: Kind, wanted: Kind) -> fmt::Result {
    let listener = match kind {
        Kind::SeqPacket => "SeqPacketListener",
        _ => "Listener",
    };
    write!(
        f,
        "it is a {kind} socket, and a listener of {wanted} sockets was asked for; ask for a {listener}"
    )
}

fn denied(f: &mut fmt::Formatter<'_>, uid: Option<u32>) -> fmt::Result {
    f.write_str("its server ")?;
    if let Some(uid) = uid {
        write!(f, "(uid {uid}) ")?;
    }
    f.write_str(
        "refuses us: it hands over to its own user and to root only, and in its user namespace we are neither; run as that user in that namespace, or stop that server and start this one",
    )
}

impl std::error::Error for TakeoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.kind {
            TakeoverErrorKind::Claim(error) => error.source(),
            TakeoverErrorKind::Connect(error) => error.source(),
            TakeoverErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
