//! Checks that inherited file descriptors (fds) are UNIX sockets of the expected kind.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//! use sockeye::{Kind, adopt};
//!
//! let (stream, _) = UnixStream::pair()?;
//! assert_eq!(adopt::kind(&stream)?, Some(Kind::Stream));
//! let file = std::fs::File::open("/dev/null")?;
//! assert!(adopt::kind(&file).is_err(), "it is not a socket");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
#[cfg(feature = "tokio")]
use rustix::net::{ipproto, sockopt::socket_protocol};

use crate::address::Kind;
use crate::hint::hint_for;
use crate::sys;

/// Why an fd is not the socket that was asked for.
#[non_exhaustive]
pub enum AdoptError {
    /// No such fd is open.
    NotOpen(RawFd),
    /// It is something else than a socket.
    NotASocket,
    /// It is a socket of another family.
    NotUnix,
    /// A TCP or vsock socket was asked for, and it is something else.
    NotNet,
    /// It is a UNIX socket of another kind than the one asked for.
    WrongKind {
        /// What it is; `None` where UNIX sockets have no such type.
        actual: Option<Kind>,
        /// What was asked for.
        wanted: Kind,
    },
    /// A listener was asked for, and this one does not listen.
    NotListening,
    /// A connection was asked for, and this one listens.
    Listening,
    /// A connection was asked for, and this one is not connected.
    NotConnected,
    /// A system call failed.
    Io(io::Error),
}

crate::error_debug::debug_as_display!(AdoptError);

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen(fd) => write!(f, "file descriptor {fd} is not open; pass an open one"),
            Self::NotASocket => f.write_str("it is not a socket; pass a UNIX socket"),
            Self::NotUnix => f.write_str("it is not a UNIX socket; pass a UNIX socket"),
            Self::NotNet => {
                f.write_str("it is not a TCP or vsock stream socket; pass one of these")
            }
            Self::WrongKind { actual, wanted } => match actual {
                Some(actual) => {
                    write!(f, "it is a {actual} socket; pass a UNIX {wanted} socket")
                }
                None => write!(
                    f,
                    "it is of no type known here; pass a UNIX {wanted} socket"
                ),
            },
            Self::NotListening => f.write_str(
                "it does not listen; call listen(2) on it first (in a .socket unit: Accept=no)",
            ),
            Self::Listening => f.write_str("it is a listener; pass a connected socket"),
            Self::NotConnected => f.write_str("it is not connected; pass a connected socket"),
            Self::Io(error) => {
                write!(f, "{error}; {}", hint_for(Errno::from_io_error(error)))
            }
        }
    }
}

impl std::error::Error for AdoptError {}

impl From<Errno> for AdoptError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOTSOCK => Self::NotASocket,
            errno => Self::Io(errno.into()),
        }
    }
}

/// A close-on-exec duplicate of the inherited fd `raw`, which stays open itself: only the program can
/// know that nothing else in it uses that fd.
///
/// # Errors
/// [`AdoptError::NotOpen`] where no such fd is open.
#[doc(alias = "from_raw_fd")]
#[doc(alias = "F_DUPFD_CLOEXEC")]
pub fn inherited(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    sys::fd::duplicate(raw).map_err(|errno| of_number(raw, errno))
}

/// Makes the inherited fd `raw` close-on-exec.
pub(crate) fn keep_from_children(raw: RawFd) -> Result<(), AdoptError> {
    sys::fd::set_close_on_exec(raw).map_err(|errno| of_number(raw, errno))
}

fn of_number(raw: RawFd, errno: Errno) -> AdoptError {
    match errno {
        Errno::BADF => AdoptError::NotOpen(raw),
        errno => AdoptError::Io(errno.into()),
    }
}

/// The kind of a UNIX socket.
///
/// # Errors
/// [`AdoptError`] where it is none.
#[doc(alias = "SO_DOMAIN")]
#[doc(alias = "SO_TYPE")]
pub fn kind(fd: impl AsFd) -> Result<Option<Kind>, AdoptError> {
    let fd = fd.as_fd();
    if socket_domain(fd)? != AddressFamily::UNIX {
        return Err(AdoptError::NotUnix);
    }
    Ok(match socket_type(fd)? {
        SocketType::STREAM => Some(Kind::Stream),
        SocketType::SEQPACKET => Some(Kind::SeqPacket),
        SocketType::DGRAM => Some(Kind::Datagram),
        _ => None,
    })
}

/// Checks that `fd` is a UNIX socket of that kind that listens, or a TCP or vsock one without a kind, and
/// makes it close-on-exec.
#[cfg(feature = "tokio")]
pub(crate) fn listener(fd: BorrowedFd<'_>, kind: Option<Kind>) -> Result<(), AdoptError> {
    match kind {
        Some(kind) => of_kind(fd, kind)?,
        None => net_stream(fd)?,
    }
    if socket_acceptconn(fd)? {
        Ok(())
    } else {
        Err(AdoptError::NotListening)
    }
}

/// Checks that `fd` is a connected UNIX socket of that kind, and makes it close-on-exec.
pub(crate) fn connected(fd: BorrowedFd<'_>, kind: Kind) -> Result<(), AdoptError> {
    of_kind(fd, kind)?;
    has_peer(fd)
}

/// Checks that `fd` is a connected TCP or vsock socket, and makes it close-on-exec.
#[cfg(feature = "tokio")]
pub(crate) fn net_connected(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    net_stream(fd)?;
    has_peer(fd)
}

fn has_peer(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    if socket_acceptconn(fd)? {
        return Err(AdoptError::Listening);
    }
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => Err(AdoptError::NotConnected),
        Err(errno) => Err(errno.into()),
    }
}

/// Checks that `fd` is a UNIX socket of that kind, and makes it close-on-exec.
pub(crate) fn of_kind(fd: BorrowedFd<'_>, wanted: Kind) -> Result<(), AdoptError> {
    let actual = kind(fd)?;
    if actual != Some(wanted) {
        return Err(AdoptError::WrongKind { actual, wanted });
    }
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    Ok(())
}

/// Checks that `fd` is a TCP or vsock stream socket, and makes it close-on-exec.
#[cfg(feature = "tokio")]
fn net_stream(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    let not_net = |errno| match errno {
        Errno::NOTSOCK => AdoptError::NotNet,
        errno => errno.into(),
    };
    let domain = socket_domain(fd).map_err(not_net)?;
    let is_net = match domain {
        AddressFamily::INET | AddressFamily::INET6 => {
            [Some(ipproto::TCP), Some(ipproto::MPTCP)].contains(&socket_protocol(fd)?)
        }
        AddressFamily::VSOCK => socket_type(fd)? == SocketType::STREAM,
        _ => false,
    };
    if !is_net {
        return Err(AdoptError::NotNet);
    }
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    Ok(())
}
