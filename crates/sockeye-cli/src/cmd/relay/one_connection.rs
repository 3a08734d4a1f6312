//! [`OneConnection`]: a connection that was there when this process started.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use sockeye::adopt::{self, AdoptError};
use sockeye::net_stream::NetAddr;
use sockeye::relay::RelayEnd;
use sockeye::{Kind, NetStream, Peer, SeqPacket, Stream};

use super::client_name::ClientName;
use super::stdio::StdioBridge;
use crate::exit::{Exit, failure};
use crate::stdio::is_one_file;

pub(super) enum OneConnection {
    /// Standard input and output, where they are not one UNIX socket.
    Pipes,
    Unix(OwnedFd, Kind),
    Net(OwnedFd),
}

impl OneConnection {
    /// Standard input and output.
    pub(super) fn stdio() -> Self {
        match socket_of_stdio() {
            Some((socket, kind)) => Self::Unix(socket, kind),
            None => Self::Pipes,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Unix(_, kind) => *kind,
            Self::Pipes | Self::Net(_) => Kind::Stream,
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(..))
    }

    /// What the log calls it as a client.
    pub(super) fn name(&self) -> ClientName {
        match self {
            Self::Pipes => ClientName::Stdio,
            Self::Unix(socket, _) => ClientName::Peer(Peer::of(socket).ok()),
            Self::Net(socket) => ClientName::Net(peer_address(socket)),
        }
    }

    pub(super) fn as_unix(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unix(socket, _) => Some(socket.as_fd()),
            Self::Pipes | Self::Net(_) => None,
        }
    }

    /// A socket that is not connected is wrong usage. Checked before the other side is connected to.
    pub(super) fn check(&self, tried: &str, address: &str) -> anyhow::Result<()> {
        let (Self::Unix(socket, _) | Self::Net(socket)) = self else {
            return Ok(());
        };
        let error = if socket_acceptconn(socket).unwrap_or(false) {
            AdoptError::Listening
        } else if rustix::net::getpeername(socket) == Err(Errno::NOTCONN) {
            AdoptError::NotConnected
        } else {
            return Ok(());
        };
        Err(cannot(tried, address, &error))
    }

    /// As a side of a relay. `tried` and `address` are for the error.
    pub(super) fn into_end(
        self,
        tried: &str,
        address: &str,
    ) -> anyhow::Result<(RelayEnd, Option<StdioBridge>)> {
        let adopted = match self {
            Self::Pipes => {
                let started = StdioBridge::start().map_err(|error| {
                    let text = format!(
                        "cannot {tried} {address}: starting failed: {error}; look at the limits of this process (ulimit -a)"
                    );
                    failure(Exit::Failed, text)
                });
                let (stream, bridge) = started?;
                return Ok((stream.into(), Some(bridge)));
            }
            Self::Unix(socket, Kind::SeqPacket) => SeqPacket::adopt(socket).map(RelayEnd::from),
            Self::Unix(socket, _) => Stream::adopt(socket).map(RelayEnd::from),
            Self::Net(socket) => NetStream::adopt(socket).map(RelayEnd::from),
        };
        let end = adopted.map_err(|error| cannot(tried, address, &error))?;
        Ok((end, None))
    }
}

/// Where a TCP connection comes from.
fn peer_address(socket: &OwnedFd) -> Option<NetAddr> {
    let stream = TcpStream::from(socket.try_clone().ok()?);
    stream.peer_addr().ok().map(NetAddr::Tcp)
}

fn cannot(tried: &str, address: &str, error: &AdoptError) -> anyhow::Error {
    failure(Exit::Usage, format!("cannot {tried} {address}: {error}"))
}

/// Standard input and output, where they are one connected stream or seqpacket UNIX socket.
fn socket_of_stdio() -> Option<(OwnedFd, Kind)> {
    if !is_one_file() {
        return None;
    }
    let stdout = io::stdout();
    match adopt::kind(&stdout).ok()?? {
        Kind::Datagram => None,
        kind => Some((stdout.as_fd().try_clone_to_owned().ok()?, kind)),
    }
}
