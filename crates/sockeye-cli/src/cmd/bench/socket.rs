//! The client's end of a connection, of any kind.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use sockeye::packet::{BlockingDatagram, BlockingSeqPacket};
use sockeye::{Address, Connector};

use super::PATIENCE;
use crate::args::{Endpoint, Transport};
use crate::exit::{Exit, failure};

pub(super) enum Socket {
    Stream(UnixStream),
    SeqPacket(BlockingSeqPacket),
    Datagram(BlockingDatagram),
    Tcp(TcpStream),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(socket) => socket.as_fd(),
            Self::SeqPacket(socket) => socket.as_fd(),
            Self::Datagram(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

/// A server, looked up once.
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// Where the endpoint is TCP.
    tcp: Option<SocketAddr>,
    connector: Connector,
}

impl Target {
    pub(super) fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        let tcp = match &endpoint {
            Endpoint::Unix(_) => None,
            Endpoint::Tcp(name) => Some(look_up(name).map_err(|error| {
                failure(
                    Exit::NothingThere,
                    format!("cannot connect to {endpoint}: {error}; check the name"),
                )
            })?),
        };
        Ok(Self {
            endpoint,
            tcp,
            connector: Connector::new().connect_timeout(PATIENCE),
        })
    }

    /// A connection that does not block.
    pub(super) fn connect(&self) -> anyhow::Result<Socket> {
        let socket = match (&self.endpoint, self.tcp) {
            (Endpoint::Unix(address), _) => self.connect_unix(address)?,
            (Endpoint::Tcp(_), to) => {
                let stream = to
                    .ok_or_else(|| ErrorKind::AddrNotAvailable.into())
                    .and_then(connect_tcp);
                Socket::Tcp(stream.map_err(|error| self.refused(&error))?)
            }
        };
        rustix::io::ioctl_fionbio(&socket, true).map_err(io::Error::from)?;
        Ok(socket)
    }

    fn connect_unix(&self, address: &Address) -> anyhow::Result<Socket> {
        Ok(match self.endpoint.transport() {
            Transport::Seqpacket => {
                Socket::SeqPacket(self.connector.connect_seqpacket_blocking(address)?)
            }
            Transport::Dgram => {
                let socket = BlockingDatagram::unclaimed()?;
                self.connector.connect_datagram_blocking(&socket, address)?;
                Socket::Datagram(socket)
            }
            _ => Socket::Stream(self.connector.connect_blocking(address)?),
        })
    }

    fn refused(&self, error: &io::Error) -> anyhow::Error {
        let (exit, advice) = match error.kind() {
            ErrorKind::ConnectionRefused => {
                (Exit::NothingThere, "nobody listens there; start the server")
            }
            ErrorKind::TimedOut => (Exit::TimedOut, "look at the server"),
            _ => (Exit::Failed, "look at the network"),
        };
        failure(
            exit,
            format!("cannot connect to {}: {error}; {advice}", self.endpoint),
        )
    }
}

fn look_up(name: &str) -> io::Result<SocketAddr> {
    name.to_socket_addrs()?
        .next()
        .ok_or_else(|| ErrorKind::NotFound.into())
}

fn connect_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
