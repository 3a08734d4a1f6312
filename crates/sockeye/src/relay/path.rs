//! [`RelayPath`]: by which system calls bytes get from one side to the other.

use std::fmt;

use super::end::EndIo;
use super::relay_socket::SocketKind;
use crate::passing::Passing;
use crate::sys;

/// By which system calls one direction of a relay passes bytes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RelayPath {
    /// Large amounts by splice(2) through a pipe, small ones by recv(2) and send(2).
    Splice,
    /// recv(2) and send(2).
    Copy,
    /// recvmsg(2) and sendmsg(2), with fds and credentials beside their bytes.
    Messages,
    /// recvmsg(2) and sendmsg(2), record by record.
    Records,
}

impl RelayPath {
    /// The path from `source` to `target`: splice(2) only where no fd can come, since it drops them,
    /// and where nobody looks at the bytes.
    pub(super) fn choose(
        source: &EndIo,
        target: &EndIo,
        passes_credentials: bool,
        is_observed: bool,
    ) -> Self {
        let Some(socket) = source.as_socket() else {
            return Self::Copy;
        };
        match (socket.kind, socket.io.passing()) {
            (SocketKind::SeqPacket, _) => Self::Records,
            (SocketKind::UnixStream, Passing::Receives | Passing::Discards) => Self::Messages,
            (SocketKind::UnixStream, _) if passes_credentials => Self::Messages,
            // A splice to a socket whose peer has gone raises SIGPIPE.
            (_, Passing::Refused)
                if target.as_socket().is_some()
                    && !is_observed
                    && sys::process::survives_sigpipe() =>
            {
                Self::Splice
            }
            _ => Self::Copy,
        }
    }
}

impl fmt::Display for RelayPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Splice => "splice",
            Self::Copy => "copy",
            Self::Messages => "messages",
            Self::Records => "records",
        })
    }
}
