//! Descriptors that come from elsewhere: checked before they are believed.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::sys;

/// Why a descriptor is not the socket that it was taken for.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdoptError {
    /// No such descriptor was inherited.
    NotInherited(RawFd),
    /// It is something else than a socket.
    NotASocket,
    /// It is a socket of another family.
    NotUnix,
    /// It is a UNIX socket of another type than a stream.
    WrongType,
    /// A listener was asked for, and this one does not listen.
    NotListening,
    /// A connection was asked for, and this one listens.
    Listening,
    /// A connection was asked for, and this one is not connected.
    NotConnected,
    /// A system call failed.
    Io(io::Error),
}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInherited(fd) => {
                write!(
                    f,
                    "no descriptor {fd} was passed on to this program; pass one on"
                )
            }
            Self::NotASocket => f.write_str("it is not a socket; pass a UNIX stream socket"),
            Self::NotUnix => f.write_str("it is not a UNIX socket; pass a UNIX stream socket"),
            Self::WrongType => f.write_str("it is not a stream socket; pass a UNIX stream socket"),
            Self::NotListening => f.write_str("it does not listen; call listen(2) on it first"),
            Self::Listening => f.write_str("it is a listener; pass a connected socket"),
            Self::NotConnected => f.write_str("it is not connected; pass a connected socket"),
            Self::Io(error) => write!(f, "{error}"),
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

/// Takes over the inherited descriptor `raw`; it is close-on-exec from then on. Of the numbers 0, 1
/// and 2 it makes a duplicate.
///
/// # Errors
/// [`AdoptError::NotInherited`] where nothing is open under this number, or something that this
/// process has opened or taken itself.
pub fn inherited(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    sys::fd::take_inherited(raw).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::BADF) => AdoptError::NotInherited(raw),
        _ => AdoptError::Io(error),
    })
}

/// Checks that `fd` is a UNIX stream socket that listens, and makes it close-on-exec.
#[cfg(feature = "tokio")]
pub(crate) fn listener(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    stream_type(fd)?;
    match socket_acceptconn(fd)? {
        true => Ok(()),
        false => Err(AdoptError::NotListening),
    }
}

/// Checks that `fd` is a connected UNIX stream socket, and makes it close-on-exec.
pub(crate) fn stream(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    stream_type(fd)?;
    if socket_acceptconn(fd)? {
        return Err(AdoptError::Listening);
    }
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => Err(AdoptError::NotConnected),
        Err(errno) => Err(errno.into()),
    }
}

fn stream_type(fd: BorrowedFd<'_>) -> Result<(), AdoptError> {
    if socket_domain(fd)? != AddressFamily::UNIX {
        return Err(AdoptError::NotUnix);
    }
    if socket_type(fd.as_fd())? != SocketType::STREAM {
        return Err(AdoptError::WrongType);
    }
    fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    Ok(())
}
