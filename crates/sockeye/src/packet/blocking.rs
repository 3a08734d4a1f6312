//! Blocking seqpacket and datagram sockets, for programs without a runtime.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SendFlags, Shutdown, SocketAddrUnix, SocketFlags, accept_with};

use crate::address::{Address, Kind};
use crate::adopt::{self, AdoptError};
use crate::ancillary::{self, Received, RecvError, SendError, sendmsg_once};
use crate::claim::{Claim, ClaimError, ClaimOptions, Ownership};
use crate::peer::Peer;
use crate::{socket, sys};

/// A listening UNIX seqpacket socket; dropping it releases the address that it owns.
#[derive(Debug)]
#[must_use = "dropping it releases the address"]
pub struct BlockingSeqPacketListener {
    // Dropped in this order: the path is removed before the socket closes.
    _ownership: Option<Ownership>,
    socket: OwnedFd,
}

impl BlockingSeqPacketListener {
    /// Listens with a claimed socket.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is not of [`Kind::SeqPacket`]; the error names the
    /// type for its kind.
    pub fn from_claim(claim: Claim) -> io::Result<Self> {
        let (socket, ownership) = claim.into_parts(Kind::SeqPacket)?;
        Ok(Self {
            _ownership: ownership,
            socket,
        })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// As accept(2).
    pub fn accept(&self) -> io::Result<BlockingSeqPacket> {
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(fd) => return BlockingSeqPacket::from_connected(fd),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for BlockingSeqPacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(BlockingSeqPacketListener);

/// A connected UNIX seqpacket socket.
#[derive(Debug)]
pub struct BlockingSeqPacket {
    socket: OwnedFd,
}

impl BlockingSeqPacket {
    /// A connected pair (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::SeqPacket, SocketFlags::empty())?;
        Ok((Self::from_connected(left)?, Self::from_connected(right)?))
    }

    /// Adopts a file descriptor of a connected UNIX seqpacket socket. It is made close-on-exec,
    /// and blocking for every process that shares it.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::connected(fd.as_fd(), Kind::SeqPacket)?;
        rustix::io::ioctl_fionbio(&fd, false)?;
        Self::from_connected(fd).map_err(AdoptError::Io)
    }

    pub(crate) fn from_connected(socket: OwnedFd) -> io::Result<Self> {
        sys::message::mark_records(socket.as_fd())?;
        Ok(Self { socket })
    }

    /// The peer credentials (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// Sends one record.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send(&self, record: &[u8]) -> Result<(), SendError> {
        self.send_msg(record, &[])
    }

    /// Sends one record and duplicates of the fds in `descriptors` (`SCM_RIGHTS`).
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_msg(&self, record: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        ancillary::send_msg(self, record, descriptors)
    }

    /// Receives one record, and returns its size; `None` at EOF. Received fds are closed.
    ///
    /// # Errors
    /// [`RecvError`]; a record that does not fit is lost. `ECONNRESET` is reported once where the
    /// peer has closed without receiving all that was sent to it; records that it sent can be
    /// received after that.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        Ok(self.recv_msg(buffer)?.map(|received| received.bytes))
    }

    /// Receives one record with its ancillary data; `None` at EOF.
    ///
    /// # Errors
    /// [`RecvError`]; a record that does not fit is lost. `ECONNRESET` is reported once where the
    /// peer has closed without receiving all that was sent to it; records that it sent can be
    /// received after that.
    pub fn recv_msg(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        ancillary::recv_msg(self, buffer)
    }

    /// Half-closes: with [`Shutdown::Write`] the peer reads to EOF, and can still answer.
    ///
    /// # Errors
    /// As shutdown(2).
    #[doc(alias = "half-close")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, how)?)
    }
}

impl AsFd for BlockingSeqPacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(BlockingSeqPacket);

impl From<BlockingSeqPacket> for OwnedFd {
    fn from(socket: BlockingSeqPacket) -> Self {
        socket.socket
    }
}

/// A UNIX datagram socket; dropping it releases the address that it owns.
#[derive(Debug)]
#[must_use = "dropping it releases the address"]
pub struct BlockingDatagram {
    // Dropped in this order: the path is removed before the socket closes.
    _ownership: Option<Box<Ownership>>,
    socket: OwnedFd,
}

impl BlockingDatagram {
    /// Receives on a claimed address.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is not of [`Kind::Datagram`]; the error names the
    /// type for its kind.
    pub fn from_claim(claim: Claim) -> io::Result<Self> {
        let (socket, ownership) = claim.into_parts(Kind::Datagram)?;
        Self::new(socket, ownership)
    }

    /// An unbound socket, to be connected and then [bound](Self::bind).
    ///
    /// # Errors
    /// As socket(2).
    pub fn unbound() -> io::Result<Self> {
        Self::new(socket::new(Kind::Datagram, SocketFlags::empty())?, None)
    }

    /// Claims `address` for a socket that is [unbound](Self::unbound).
    ///
    /// Once it is connected (`Connector::connect_datagram_blocking`), only its peer can send to it,
    /// whatever the mode of its file. So with mode 0666 a server of another user can answer, and nobody
    /// else can, from the start.
    ///
    /// # Errors
    /// As [`ClaimOptions::claim`].
    pub fn bind(self, options: &ClaimOptions, address: &Address) -> Result<Self, ClaimError> {
        let claim = options.claim_with(address, self.socket)?;
        Self::from_claim(claim).map_err(|error| ClaimError::io(address, error))
    }

    /// A socket with an abstract name that the kernel chooses (autobind, unix(7)), so that it can be
    /// answered.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    pub fn unclaimed() -> io::Result<Self> {
        Self::new(socket::autobound(SocketFlags::empty())?, None)
    }

    /// A connected pair (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::Datagram, SocketFlags::empty())?;
        Ok((Self::new(left, None)?, Self::new(right, None)?))
    }

    /// Adopts a file descriptor of a UNIX datagram socket, whose file is never removed. It is made
    /// close-on-exec, and blocking for every process that shares it.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::of_kind(fd.as_fd(), Kind::Datagram)?;
        rustix::io::ioctl_fionbio(&fd, false)?;
        Self::new(fd, None).map_err(AdoptError::Io)
    }

    // In this order: arguments are dropped from the last to the first.
    fn new(socket: OwnedFd, ownership: Option<Ownership>) -> io::Result<Self> {
        sys::message::mark_records(socket.as_fd())?;
        Ok(Self {
            _ownership: ownership.map(Box::new),
            socket,
        })
    }

    /// How long a send may wait for room in the receiver's queue (`SO_SNDTIMEO`, socket(7)) before it
    /// fails with [`io::ErrorKind::WouldBlock`]; `None`, the default, is forever.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_send_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(set_socket_timeout(&self.socket, Timeout::Send, timeout)?)
    }

    /// Sends a datagram and duplicates of the fds in `descriptors` (`SCM_RIGHTS`) to the address that the
    /// socket is connected to.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_msg(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        ancillary::send_msg(self, datagram, descriptors)
    }

    /// Sends a datagram and duplicates of the fds in `descriptors` (`SCM_RIGHTS`) to an address, such as
    /// [`Received::sender`].
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_msg_to(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: &SocketAddrUnix,
    ) -> Result<(), SendError> {
        let (socket, flags) = (self.as_fd(), SendFlags::empty());
        loop {
            match sendmsg_once(socket, datagram, descriptors, Some(to), flags) {
                Err(SendError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(|_| ()),
            }
        }
    }

    /// Receives one datagram with its ancillary data; `None` where reading was shut down.
    ///
    /// # Errors
    /// [`RecvError`]; a datagram that does not fit is lost.
    pub fn recv_msg(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        ancillary::recv_msg(self, buffer)
    }
}

impl AsFd for BlockingDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(BlockingDatagram);
