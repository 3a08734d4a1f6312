//! [`NetListener`]: a listener for TCP and vsock(7).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::addr::SocketAddrArg;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use super::SocketListener;
use crate::adopt::AdoptError;
use crate::net_stream::{NetAddr, NetStream};
use crate::sys::vsock::VsockAddr;

/// A listener for TCP or vsock connections.
///
/// It owns no path, so that there is no takeover, and its clients have no credentials: a
/// [`Server`](crate::Server) with an authorization or a limit for each user refuses all of them.
///
/// A drain accepts what is in the backlog, at most 4096 connections, and closes the listener then: unlike
/// a UNIX socket it cannot refuse new clients before that, since shutdown(2) with `SHUT_RD` resets the
/// backlog. A client that connects between the last accept(2) and the close is reset.
///
/// ```
/// use sockeye::{Connection, NetListener, NetStream, Server};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = NetListener::bind("127.0.0.1:0".parse()?, 128)?;
/// println!("listening on {}", listener.net_addr()?);
/// # let sockeye::net_stream::NetAddr::Tcp(address) = listener.net_addr()? else { panic!() };
/// # let client = tokio::net::TcpStream::connect(address).await?;
/// let hello = |mut connection: Connection<NetStream>| async move {
///     connection.write_all(b"hello\n").await
/// };
/// # let shutdown = std::future::ready(());
/// let report = Server::new().run(listener, hello, shutdown).await?;
/// # assert_eq!(report.drained, 1);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "TcpListener")]
#[doc(alias = "VsockListener")]
pub type NetListener = SocketListener<NetStream>;

impl SocketListener<NetStream> {
    /// Listens on a TCP port (tcp(7)), of one address or of all (`0.0.0.0`, `[::]`); port 0 is one that
    /// the kernel chooses ([`Self::net_addr`]). A port that was used a moment ago can be used again
    /// (`SO_REUSEADDR`). The kernel limits `backlog` to `net.core.somaxconn` (listen(2)).
    ///
    /// # Errors
    /// As bind(2) and listen(2): `EADDRINUSE` where somebody listens there.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn bind(address: SocketAddr, backlog: i32) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = stream_socket(family)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        Self::bound(socket, &address, backlog)
    }

    /// Listens on a vsock port; context id `u32::MAX` is any of this machine (`VMADDR_CID_ANY`).
    ///
    /// # Errors
    /// As bind(2) and listen(2); `EAFNOSUPPORT` where the kernel has no vsock.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn bind_vsock(cid: u32, port: u32, backlog: i32) -> io::Result<Self> {
        let socket = stream_socket(AddressFamily::VSOCK)?;
        Self::bound(socket, &VsockAddr { cid, port }, backlog)
    }

    #[track_caller]
    fn bound(socket: OwnedFd, address: &impl SocketAddrArg, backlog: i32) -> io::Result<Self> {
        bind(&socket, address)?;
        listen(&socket, backlog)?;
        let mut listener = Self::new(socket, None)?;
        listener.allow_fd_passing(false)?;
        listener.is_ours = true;
        Ok(listener)
    }

    /// Adopts a listener of the standard library.
    ///
    /// # Errors
    /// As [`SocketListener::adopt`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_std(listener: TcpListener) -> Result<Self, AdoptError> {
        Self::adopt(listener.into())
    }

    /// The address that it listens on (getsockname(2)).
    ///
    /// # Errors
    /// As getsockname(2).
    #[doc(alias = "getsockname")]
    pub fn net_addr(&self) -> io::Result<NetAddr> {
        NetAddr::local(self.as_fd())
    }
}

fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}
