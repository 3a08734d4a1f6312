//! [`TargetError`]: why there is no connection to a target.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::RelayAddress;
use super::credentials::CredentialsError;
use crate::connect::ConnectError;
use crate::hint::hint_for;
use crate::net_stream::NetAddr;

/// Why there is no connection to a target: what was tried, what was found, what to do.
pub struct TargetError {
    address: RelayAddress,
    // Boxed to keep the results of connecting small.
    kind: Box<TargetErrorKind>,
    attempts: Vec<(NetAddr, io::Error)>,
    waited: Option<Duration>,
}

crate::error_debug::debug_as_display!(TargetError);

/// What was found at the address of a target.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetErrorKind {
    /// A UNIX socket could not be connected to.
    Unix(ConnectError),
    /// A UNIX socket could not be connected to with the credentials of the client.
    Credentials(CredentialsError),
    /// The name of the host has no address, or no name server could be asked.
    UnknownHost(io::Error),
    /// Nobody listens on the port (`ECONNREFUSED`; `ECONNRESET` of vsock).
    NobodyListens,
    /// No way leads to the host (`EHOSTUNREACH`, `ENETUNREACH`; `ENODEV` of vsock).
    Unreachable,
    /// The kernel or a firewall of this machine forbids it (`EACCES`, `EPERM`).
    Denied,
    /// There was no answer for as long as the connect timeout allows.
    TimedOut {
        /// The connect timeout; `None` where the kernel has given up before.
        limit: Option<Duration>,
    },
    /// It is no address of a stream or seqpacket server: standard input and output, or a datagram
    /// socket.
    NotATarget,
    /// A system call failed.
    Io,
}

impl TargetError {
    pub(super) fn new(address: &RelayAddress, kind: TargetErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind: Box::new(kind),
            attempts: Vec::new(),
            waited: None,
        }
    }

    /// From all attempts that were made; the one that tells most decides.
    pub(super) fn of_attempts(
        address: &RelayAddress,
        attempts: Vec<(NetAddr, io::Error)>,
        limit: Duration,
    ) -> Self {
        let mut kinds: Vec<_> = attempts
            .iter()
            .map(|(_, error)| kind_of(error, limit))
            .collect();
        kinds.sort_by_key(|kind| match kind {
            TargetErrorKind::Denied => 0,
            TargetErrorKind::NobodyListens => 1,
            TargetErrorKind::TimedOut { .. } => 2,
            TargetErrorKind::Unreachable => 3,
            _ => 4,
        });
        let first = kinds.into_iter().next();
        Self {
            attempts,
            ..Self::new(address, first.unwrap_or(TargetErrorKind::Io))
        }
    }

    pub(super) fn after(mut self, waited: Duration) -> Self {
        self.waited = Some(waited);
        self
    }

    /// What was found at the address.
    #[must_use]
    pub fn kind(&self) -> &TargetErrorKind {
        &self.kind
    }

    /// The address that was to be connected to.
    #[must_use]
    pub fn address(&self) -> &RelayAddress {
        &self.address
    }

    /// How long attempts were made, if the time limit ran out.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        match self.kind() {
            TargetErrorKind::Unix(error) => error.waited(),
            _ => self.waited,
        }
    }

    /// The errors of single addresses of the host.
    #[must_use]
    pub fn attempts(&self) -> &[(NetAddr, io::Error)] {
        &self.attempts
    }

    /// Whether nothing is there, so that a server that starts later would change the answer.
    pub(super) fn is_nothing_there(&self) -> bool {
        use crate::connect::ConnectErrorKind as Unix;
        match self.kind() {
            TargetErrorKind::UnknownHost(_)
            | TargetErrorKind::NobodyListens
            | TargetErrorKind::Unreachable => true,
            TargetErrorKind::Unix(error) => matches!(
                error.kind(),
                Unix::Absent
                    | Unix::DanglingLink(_)
                    | Unix::ParentMissing(_)
                    | Unix::Stale
                    | Unix::Unclear(_)
                    | Unix::NobodyListens
                    | Unix::NotListening { .. }
            ),
            _ => false,
        }
    }
}

fn kind_of(error: &io::Error, limit: Duration) -> TargetErrorKind {
    if error.kind() == io::ErrorKind::TimedOut {
        let limit = error.raw_os_error().is_none().then_some(limit);
        return TargetErrorKind::TimedOut { limit };
    }
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => TargetErrorKind::NobodyListens,
        Some(
            Errno::HOSTUNREACH
            | Errno::HOSTDOWN
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::NONET
            | Errno::NODEV,
        ) => TargetErrorKind::Unreachable,
        Some(Errno::ACCESS | Errno::PERM) => TargetErrorKind::Denied,
        _ => TargetErrorKind::Io,
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            TargetErrorKind::Unix(error) => return error.fmt(f),
            TargetErrorKind::Credentials(error) => return error.fmt(f),
            _ => {}
        }
        write!(f, "cannot connect to {}: ", self.address.quoted())?;
        let waited = fmt::from_fn(|f| match self.waited {
            None | Some(Duration::ZERO) => Ok(()),
            Some(time) => write!(f, " after {time:?} of waiting"),
        });
        let attempts = fmt::from_fn(|f| self.write_attempts(f));
        match self.kind() {
            TargetErrorKind::Unix(_) | TargetErrorKind::Credentials(_) => Ok(()),
            TargetErrorKind::UnknownHost(error) => write!(
                f,
                "the name of the host has no address{waited} ({error}); check the name, or the name server"
            ),
            TargetErrorKind::NobodyListens => write!(
                f,
                "nobody listens on that port{waited}{attempts}; start the server or check the port"
            ),
            TargetErrorKind::Unreachable => write!(
                f,
                "no way leads to that host{waited}{attempts}; check the address and the network"
            ),
            TargetErrorKind::Denied => write!(
                f,
                "the kernel or a firewall of this machine forbids it{attempts}; ask the administrator"
            ),
            TargetErrorKind::TimedOut { limit: None } => write!(
                f,
                "no answer{attempts}; check the address, or whether a firewall drops packets"
            ),
            TargetErrorKind::TimedOut { limit: Some(limit) } => write!(
                f,
                "no answer within {limit:?}{attempts}; check the address, or whether a firewall drops packets"
            ),
            TargetErrorKind::NotATarget => f.write_str(match self.address {
                RelayAddress::Stdio => {
                    "it is standard input and output, not a server; give the address of one"
                }
                _ => "it is a datagram socket, which has no connections; give a stream or seqpacket address",
            }),
            TargetErrorKind::Io => {
                let first = self.attempts.first();
                let errno = first.and_then(|(_, error)| Errno::from_io_error(error));
                write!(f, "it failed{attempts}; {}", net_hint(errno))
            }
        }
    }
}

impl TargetError {
    /// What each address of the host has answered.
    fn write_attempts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.attempts.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{address}: {error}")?;
        }
        f.write_str(if self.attempts.is_empty() { "" } else { ")" })
    }
}

/// What to do about a system call on a TCP or vsock socket that failed.
pub(super) fn net_hint(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::AFNOSUPPORT) => "this kernel has no sockets of that family; load its module",
        Some(Errno::ADDRNOTAVAIL) => {
            "the address is not of this machine, or all local ports are in use; check both"
        }
        Some(Errno::MFILE | Errno::NFILE) => hint_for(errno),
        _ => "look at the address, or at what the system has left",
    }
}

impl std::error::Error for TargetError {
    /// The text has the cause in it, so this is what is behind that.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            TargetErrorKind::Unix(error) => error.source(),
            TargetErrorKind::Credentials(error) => error.source(),
            _ => None,
        }
    }
}
