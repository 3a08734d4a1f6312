//! [`NetStream`]: a connected TCP or vsock(7) stream socket on tokio.
//!
//! [`NetListener`](crate::listener::NetListener) accepts them, so that a
//! [`Server`](crate::server::Server) serves TCP and vsock too.
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//! use sockeye::NetStream;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = NetStream::from_std(TcpStream::connect(listener.local_addr()?)?)?;
//! let mut server = NetStream::from_std(listener.accept()?.0)?;
//! client.write_all(b"hello").await?;
//! drop(client);
//! let mut text = String::new();
//! server.read_to_string(&mut text).await?;
//! assert_eq!(text, "hello");
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketAddrAny, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::adopt::{self, AdoptError};
use crate::busy_poll::BusyPoll;
use crate::lazy_async_fd::LazyAsyncFd;
use crate::passing::Passing;
use crate::sys::vsock::VsockAddr;
use crate::{recv, stream};

/// A connected TCP or vsock stream socket on a tokio runtime.
///
/// It reads and writes as [`Stream`](crate::Stream) does, with vectored writes, and
/// `AsyncWriteExt::shutdown` half-closes. TCP sends without delay (`TCP_NODELAY`, tcp(7)). There are
/// neither peer credentials nor file descriptors from the peer.
#[doc(alias = "TcpStream")]
#[doc(alias = "VsockStream")]
#[doc(alias = "half-close")]
#[derive(Debug)]
pub struct NetStream {
    io: LazyAsyncFd,
    busy: Option<Box<BusyPoll>>,
}

/// The address of one end of a [`NetStream`], or of a
/// [`NetListener`](crate::listener::NetListener).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetAddr {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// A context id and a port of vsock(7).
    Vsock {
        /// The context id.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// No fds can come, so that neither a receive nor a close has to look for any.
const PASSING: Passing = Passing::Refused;

impl NetStream {
    /// Adopts a file descriptor of a connected TCP or vsock stream socket. It is made close-on-exec, and
    /// non-blocking for every process that shares it.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::net_connected(fd.as_fd())?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::from_nonblocking(fd).map_err(AdoptError::Io)
    }

    /// Adopts a stream of the standard library.
    ///
    /// # Errors
    /// As [`NetStream::adopt`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn from_std(stream: TcpStream) -> Result<Self, AdoptError> {
        Self::adopt(stream.into())
    }

    #[track_caller]
    pub(crate) fn from_nonblocking(fd: OwnedFd) -> io::Result<Self> {
        send_at_once(fd.as_fd());
        let mut io = LazyAsyncFd::registered(fd, false)?;
        io.set_passing(PASSING);
        Ok(Self { io, busy: None })
    }

    /// Takes a new non-blocking fd, which is registered with epoll(7) once it has to wait.
    pub(crate) fn from_accepted(fd: OwnedFd) -> Self {
        send_at_once(fd.as_fd());
        Self {
            io: LazyAsyncFd::new(fd, PASSING),
            busy: None,
        }
    }

    /// Busy polls before a read sleeps, as [`Stream::set_busy_poll`](crate::Stream::set_busy_poll).
    pub fn set_busy_poll(&mut self, busy: BusyPoll) {
        self.busy = Some(Box::new(busy));
    }

    /// The address of this end (getsockname(2)).
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn local_addr(&self) -> io::Result<NetAddr> {
        NetAddr::local(self.as_fd())
    }

    /// The address of the peer (getpeername(2)).
    ///
    /// # Errors
    /// As getpeername(2): `ENOTCONN` once the peer has reset the connection.
    pub fn peer_addr(&self) -> io::Result<NetAddr> {
        NetAddr::from_any(&rustix::net::getpeername(self)?.ok_or(Errno::NOTCONN)?)
    }

    /// Shuts down one direction or both: with [`Shutdown::Write`] the peer reads to EOF and can still
    /// answer.
    ///
    /// # Errors
    /// As shutdown(2).
    #[doc(alias = "half-close")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, how)?)
    }

    pub(crate) fn io(&self) -> &LazyAsyncFd {
        &self.io
    }

    pub(crate) fn into_io(self) -> LazyAsyncFd {
        self.io
    }
}

/// Turns Nagle's algorithm off: with it, a short answer waits for the acknowledgement of the one before.
fn send_at_once(fd: BorrowedFd<'_>) {
    // vsock has no such option, and no such delay.
    let _ = sockopt::set_tcp_nodelay(fd, true);
}

impl AsyncRead for NetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, busy } = self.get_mut();
        let try_recv = |fd: BorrowedFd<'_>| recv::try_recv_bytes(fd, buffer, PASSING);
        recv::poll_recv(io, busy, cx, try_recv).map_ok(drop)
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, |fd| stream::try_send(fd, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io
            .poll_write(cx, |fd| stream::try_send_vectored(fd, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(stream::half_close(&self.io))
    }
}

impl AsFd for NetStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(NetStream);

impl From<NetStream> for OwnedFd {
    /// The fd, which is non-blocking.
    fn from(stream: NetStream) -> Self {
        stream.io.into()
    }
}

impl NetAddr {
    /// The address that a socket is bound to.
    pub(crate) fn local(socket: BorrowedFd<'_>) -> io::Result<Self> {
        Self::from_any(&rustix::net::getsockname(socket)?)
    }

    fn from_any(any: &SocketAddrAny) -> io::Result<Self> {
        if any.address_family() == AddressFamily::VSOCK {
            let VsockAddr { cid, port } = VsockAddr::from_any(any).ok_or(Errno::INVAL)?;
            return Ok(Self::Vsock { cid, port });
        }
        let mut address = SocketAddr::try_from(any.clone())?;
        // What a socket of IPv6 shows of a peer with IPv4 is `::ffff:192.0.2.1`.
        if let SocketAddr::V6(v6) = address
            && let Some(v4) = v6.ip().to_ipv4_mapped()
        {
            address = (v4, v6.port()).into();
        }
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for NetAddr {
    /// `tcp:127.0.0.1:80`, `tcp:[::1]:80` or `vsock:3:1024`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}
