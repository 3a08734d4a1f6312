//! [`RelayAddress::listen`]: a listener at a TCP or vsock port.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;

use rustix::io::Errno;

use super::RelayAddress;
use super::target_error::net_hint;
use crate::listener::NetListener;

/// Why there is no listener at a TCP or vsock port: what was tried, what was found, what to do.
pub struct NetListenError {
    address: RelayAddress,
    kind: NetListenErrorKind,
    source: Option<io::Error>,
}

crate::error_debug::debug_as_display!(NetListenError);

/// What stands in the way of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetListenErrorKind {
    /// The name of the host has no address, or no name server could be asked.
    UnknownHost,
    /// Somebody listens on the port (`EADDRINUSE`).
    InUse,
    /// The port may not be listened on (`EACCES`, `EPERM`).
    Denied,
    /// The host is another machine (`EADDRNOTAVAIL`).
    NotThisMachine,
    /// It is the address of a UNIX socket, or standard input and output.
    NotNet,
    /// A system call failed.
    Io,
}

impl RelayAddress {
    /// Listens on a TCP or vsock port: [`NetListener::bind`] and [`NetListener::bind_vsock`]. A name that
    /// has several addresses is listened on at the first one where that succeeds;
    /// [`net_addr`](NetListener::net_addr) tells which. It blocks the thread while it looks the name up.
    ///
    /// [`Listener::open`](crate::Listener::open) and
    /// [`SeqPacketListener::open`](crate::SeqPacketListener::open) do the same for UNIX sockets.
    ///
    /// ```
    /// use sockeye::relay::RelayAddress;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let address: RelayAddress = "tcp:127.0.0.1:0".parse()?;
    /// let listener = address.listen(128)?;
    /// println!("listening on {}", listener.net_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NetListenError`] says what stands in the way.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[doc(alias = "bind")]
    #[track_caller]
    pub fn listen(&self, backlog: i32) -> Result<NetListener, NetListenError> {
        let found = match self {
            Self::Unix(_) | Self::Stdio => {
                return Err(NetListenError::new(self, NetListenErrorKind::NotNet));
            }
            Self::Vsock { cid, port } => {
                let listener = NetListener::bind_vsock(cid.number(), *port, backlog);
                return listener.map_err(|error| NetListenError::io(self, error));
            }
            Self::Tcp { host, port } => (host.as_str(), *port).to_socket_addrs(),
        };
        let found = found.map_err(|error| NetListenError {
            source: Some(error),
            ..NetListenError::new(self, NetListenErrorKind::UnknownHost)
        })?;
        let mut failed = None;
        for address in found {
            match NetListener::bind(address, backlog) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = failed.or(Some(NetListenError::io(self, error))),
            }
        }
        Err(failed.unwrap_or_else(|| NetListenError::new(self, NetListenErrorKind::UnknownHost)))
    }
}

impl NetListenError {
    fn new(address: &RelayAddress, kind: NetListenErrorKind) -> Self {
        Self {
            address: address.clone(),
            kind,
            source: None,
        }
    }

    fn io(address: &RelayAddress, source: io::Error) -> Self {
        let kind = match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => NetListenErrorKind::InUse,
            Some(Errno::ACCESS | Errno::PERM) => NetListenErrorKind::Denied,
            Some(Errno::ADDRNOTAVAIL) => NetListenErrorKind::NotThisMachine,
            _ => NetListenErrorKind::Io,
        };
        Self {
            source: Some(source),
            ..Self::new(address, kind)
        }
    }

    /// What stands in the way.
    #[must_use]
    pub fn kind(&self) -> NetListenErrorKind {
        self.kind
    }

    /// The address that was to be listened on.
    #[must_use]
    pub fn address(&self) -> &RelayAddress {
        &self.address
    }
}

impl fmt::Display for NetListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address.quoted())?;
        let source = fmt::from_fn(|f| match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        });
        match self.kind {
            NetListenErrorKind::UnknownHost => write!(
                f,
                "the name of the host has no address{source}; check the name, or the name server"
            ),
            NetListenErrorKind::InUse => write!(
                f,
                "somebody listens on that port already{source}; choose another one, or stop that server (ss -ltnp shows it)"
            ),
            NetListenErrorKind::Denied => write!(
                f,
                "this user may not listen on that port{source}; choose one from 1024 on, or run as root (CAP_NET_BIND_SERVICE)"
            ),
            NetListenErrorKind::NotThisMachine => write!(
                f,
                "it is not an address of this machine{source}; write localhost, or 0.0.0.0 or [::] for all of its addresses"
            ),
            NetListenErrorKind::NotNet => f.write_str(match self.address {
                RelayAddress::Stdio => "it is standard input and output; write tcp: or vsock:",
                _ => "it is a UNIX address; open it with Listener or SeqPacketListener",
            }),
            NetListenErrorKind::Io => {
                let errno = self.source.as_ref().and_then(Errno::from_io_error);
                write!(f, "it failed{source}; {}", net_hint(errno))
            }
        }
    }
}

impl std::error::Error for NetListenError {}
