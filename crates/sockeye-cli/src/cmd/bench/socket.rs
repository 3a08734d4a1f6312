//! [`BenchTarget`]: the server that is measured, and [`ClientSocket`]: a connection to it.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use sockeye::claim::{Probe, probe};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacket};
use sockeye::{Address, Connector};

use super::stop::StopSignal;
use super::{AT_ITS_END, PATIENCE, complaint};
use crate::args::Endpoint;
use crate::cmd::waiting;
use crate::exit::{Exit, failure};
use crate::transport::Transport;

pub(super) enum ClientSocket {
    Stream(UnixStream),
    SeqPacket(BlockingSeqPacket),
    Datagram(BlockingDatagram),
    Tcp(TcpStream),
}

impl AsFd for ClientSocket {
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
pub(super) struct BenchTarget {
    pub(super) endpoint: Endpoint,
    /// The addresses of a TCP endpoint.
    tcp: Vec<SocketAddr>,
    connector: Connector,
    /// Whether a connect has succeeded before.
    was_there: Cell<bool>,
}

impl BenchTarget {
    pub(super) fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        let tcp = match &endpoint {
            Endpoint::Unix(_) => Vec::new(),
            Endpoint::Tcp(name) => look_up(name).map_err(|error| {
                failure(
                    Exit::NothingThere,
                    format!("cannot connect to {endpoint}: {error}; check the name"),
                )
            })?,
        };
        Ok(Self {
            endpoint,
            tcp,
            connector: Connector::new().connect_timeout(PATIENCE),
            was_there: Cell::new(false),
        })
    }

    /// Connects; the socket is non-blocking.
    pub(super) fn connect(&self, stop: &StopSignal) -> anyhow::Result<ClientSocket> {
        let socket = match &self.endpoint {
            Endpoint::Unix(address) => {
                let (address, transport) = (address.clone(), self.endpoint.transport());
                let attempt =
                    move |connector: &Connector| connect_unix(connector, transport, &address);
                waiting::connect(self.connector.clone(), attempt, || stop.check())
            }
            Endpoint::Tcp(_) => connect_tcp(&self.tcp)
                .map(ClientSocket::Tcp)
                .map_err(|error| self.refused(&error)),
        };
        let socket = socket.map_err(|error| {
            if self.was_there.get() && self.is_gone() {
                self.gone()
            } else {
                error
            }
        })?;
        self.was_there.set(true);
        rustix::io::ioctl_fionbio(&socket, true).map_err(io::Error::from)?;
        Ok(socket)
    }

    /// The error of a server that has ended.
    pub(super) fn gone(&self) -> anyhow::Error {
        complaint(
            Exit::Failed,
            &self.endpoint,
            "the server has ended in the middle of it",
            "look at what ended it",
        )
    }

    /// Whether nobody listens any more. A process that ends closes its fds one after the other, so the
    /// listener may be closed a little later.
    pub(super) fn is_gone(&self) -> bool {
        let end = Instant::now() + AT_ITS_END;
        while self.is_there() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(AT_ITS_END / 50);
        }
        true
    }

    /// A UNIX socket is probed, which the server does not notice; TCP needs a connection.
    fn is_there(&self) -> bool {
        match &self.endpoint {
            Endpoint::Unix(address) => !matches!(probe(address), Probe::Absent | Probe::Stale),
            Endpoint::Tcp(_) => !connect_tcp(&self.tcp)
                .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused),
        }
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

fn connect_unix(
    connector: &Connector,
    transport: Transport,
    address: &Address,
) -> anyhow::Result<ClientSocket> {
    Ok(match transport {
        Transport::Seqpacket => {
            ClientSocket::SeqPacket(connector.connect_seqpacket_blocking(address)?)
        }
        Transport::Dgram => {
            let socket = BlockingDatagram::unclaimed()?;
            connector.connect_datagram_blocking(&socket, address)?;
            ClientSocket::Datagram(socket)
        }
        _ => ClientSocket::Stream(connector.connect_blocking(address)?),
    })
}

fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// To the first that answers: `localhost` is ::1 as well, where a server need not listen.
fn connect_tcp(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut result = Err(ErrorKind::NotFound.into());
    for address in addresses {
        result = TcpStream::connect_timeout(address, PATIENCE);
        if result.is_ok() {
            break;
        }
    }
    let stream = result?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
