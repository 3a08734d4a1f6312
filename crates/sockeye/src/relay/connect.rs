//! [`Connector::connect_target`]: a connection to any address of a relay.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, connect, getpeername, getsockname, socket_with, sockopt,
};
use tokio::io::Interest;
use tokio::time::{Instant, timeout, timeout_at};

use super::RelayAddress;
use super::end::RelayEnd;
use super::target_error::{TargetError, TargetErrorKind};
use crate::address::Kind;
use crate::backoff::Backoff;
use crate::connect::{Connector, FIRST_PAUSE, LONGEST_PAUSE};
use crate::net_stream::{NetAddr, NetStream};
use crate::packet::SeqPacket;
use crate::socket;
use crate::stream::Stream;
use crate::sys::vsock::VsockAddr;

/// A connection to a target.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetSocket {
    /// To a UNIX stream socket.
    Stream(Stream),
    /// To a UNIX seqpacket socket.
    SeqPacket(SeqPacket),
    /// To a TCP or vsock port.
    Net(NetStream),
}

impl From<TargetSocket> for RelayEnd {
    fn from(socket: TargetSocket) -> Self {
        match socket {
            TargetSocket::Stream(stream) => stream.into(),
            TargetSocket::SeqPacket(socket) => socket.into(),
            TargetSocket::Net(stream) => stream.into(),
        }
    }
}

impl Connector {
    /// Connects to a UNIX stream or seqpacket socket, as [`Self::connect`] does, or to a TCP or vsock port.
    ///
    /// The [`connect_timeout`](Self::connect_timeout) is for all addresses of a host together, with the
    /// time to look them up: they are tried in turn, and one that does not answer leaves time for those
    /// behind it. [`wait_for`](Self::wait_for) is how long attempts are repeated while nobody listens on
    /// the port, no way leads to the host, or its name is unknown.
    ///
    /// ```
    /// use sockeye::Connector;
    /// use sockeye::relay::TargetSocket;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = format!("tcp:{}", listener.local_addr()?).parse()?;
    /// if let TargetSocket::Net(mut stream) = Connector::new().connect_target(&address).await? {
    ///     stream.write_all(b"hello").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TargetError`] says what was found at the address.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    ///
    /// # Cancel safety
    /// Dropping the future gives up; a connection is either returned or is closed.
    #[doc(alias = "TcpStream")]
    pub async fn connect_target(
        &self,
        address: &RelayAddress,
    ) -> Result<TargetSocket, TargetError> {
        let unix = |error| TargetError::new(address, TargetErrorKind::Unix(error));
        match address {
            RelayAddress::Unix(name) => match name.kind() {
                Kind::Stream => {
                    let stream = self.connect(name).await.map_err(unix)?;
                    Ok(TargetSocket::Stream(stream))
                }
                Kind::SeqPacket => {
                    let socket = self.connect_seqpacket(name).await.map_err(unix)?;
                    Ok(TargetSocket::SeqPacket(socket))
                }
                Kind::Datagram => Err(TargetError::new(address, TargetErrorKind::NotATarget)),
            },
            RelayAddress::Tcp { .. } | RelayAddress::Vsock { .. } => {
                self.wait_for_net(address).await.map(TargetSocket::Net)
            }
            RelayAddress::Stdio => Err(TargetError::new(address, TargetErrorKind::NotATarget)),
        }
    }

    async fn wait_for_net(&self, address: &RelayAddress) -> Result<NetStream, TargetError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let error = match self.connect_net(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if self.wait_for.is_zero() || !error.is_nothing_there() {
                return Err(error);
            }
            let left = self.wait_for.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(error.after(self.wait_for));
            }
            tokio::time::sleep(backoff.next_pause().min(left)).await;
        }
    }

    /// Tries each address of the host once.
    async fn connect_net(&self, address: &RelayAddress) -> Result<NetStream, TargetError> {
        let limit = self.connect_timeout;
        let started = Instant::now();
        let found = addresses(address, limit).await?;
        let mut failed = Vec::new();
        for (index, one) in found.iter().enumerate() {
            // Each gets an equal share of what is left.
            let left = limit.saturating_sub(started.elapsed());
            let share = left / u32::try_from(found.len() - index).unwrap_or(u32::MAX);
            let attempt = timeout(share, connect_once(*one));
            match attempt
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            {
                Ok(stream) => return Ok(stream),
                Err(error) => failed.push((*one, error)),
            }
        }
        Err(TargetError::of_attempts(address, failed, limit))
    }
}

/// The addresses to try.
async fn addresses(address: &RelayAddress, limit: Duration) -> Result<Vec<NetAddr>, TargetError> {
    let (host, port) = match address {
        RelayAddress::Tcp { host, port } => (host.as_str(), *port),
        RelayAddress::Vsock { cid, port } => {
            let (cid, port) = (cid.number(), *port);
            return Ok(vec![NetAddr::Vsock { cid, port }]);
        }
        _ => return Ok(Vec::new()),
    };
    let fail = |kind| TargetError::new(address, kind);
    let deadline = Instant::now().checked_add(limit);
    let lookup = tokio::net::lookup_host((host, port));
    let found = match deadline {
        Some(deadline) => timeout_at(deadline, lookup)
            .await
            .map_err(|_| fail(TargetErrorKind::TimedOut { limit: Some(limit) }))?,
        None => lookup.await,
    };
    let found = found.map_err(|error| fail(TargetErrorKind::UnknownHost(error)))?;
    Ok(found.map(NetAddr::Tcp).collect())
}

/// Waits for the answer, or for the kernel to give up.
async fn connect_once(address: NetAddr) -> io::Result<NetStream> {
    let socket = match address {
        NetAddr::Tcp(address @ SocketAddr::V4(_)) => connected(AddressFamily::INET, &address).await,
        NetAddr::Tcp(address) => connected(AddressFamily::INET6, &address).await,
        NetAddr::Vsock { cid, port } => {
            connected(AddressFamily::VSOCK, &VsockAddr { cid, port }).await
        }
    }?;
    if is_connected_to_itself(&socket)? {
        return Err(Errno::CONNREFUSED.into());
    }
    NetStream::from_nonblocking(socket)
}

/// connect(2) of a non-blocking socket, and the wait for its result.
async fn connected(family: AddressFamily, address: &impl SocketAddrArg) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, address) {
        Ok(()) => return Ok(socket),
        Err(Errno::INPROGRESS) => {}
        Err(errno) => return Err(errno.into()),
    }
    let socket = socket::register(socket, Interest::WRITABLE)?;
    socket.writable().await?.retain_ready();
    sockopt::socket_error(&socket)??;
    Ok(socket.into_inner())
}

/// Whether the kernel has chosen the target's own port, where nobody listens, for our end (tcp(7),
/// simultaneous open): attempts that are repeated on one machine come upon that.
fn is_connected_to_itself(socket: &OwnedFd) -> io::Result<bool> {
    let own = getsockname(socket)?;
    let is_itself =
        own.address_family() != AddressFamily::VSOCK && getpeername(socket)? == Some(own);
    Ok(is_itself)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};

    use super::*;

    #[test]
    fn a_connection_to_itself_is_noticed() {
        let new = || socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let itself = new();
        bind(&itself, &any).unwrap();
        let own = SocketAddr::try_from(getsockname(&itself).unwrap()).unwrap();
        connect(&itself, &own).unwrap();
        assert!(is_connected_to_itself(&itself).unwrap());
        let listener = std::net::TcpListener::bind(any).unwrap();
        let client = new();
        connect(&client, &listener.local_addr().unwrap()).unwrap();
        assert!(!is_connected_to_itself(&client).unwrap());
    }
}
