//! [`ServedSocket`]: a listener of either kind, or a datagram socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use sockeye::adopt::AdoptError;
use sockeye::ancillary::RecvError;
use sockeye::takeover::TakeoverError;
use sockeye::{Address, Claim, Datagram, Kind, Listener, Peer, SeqPacketListener, Takeover};

use super::received_fds::ReceivedFds;

pub(crate) enum ServedSocket {
    Stream(Listener),
    SeqPacket(SeqPacketListener),
    Datagram(Datagram),
}

impl ServedSocket {
    pub(crate) fn from_claim(claim: Claim) -> io::Result<Self> {
        Ok(match claim.address().kind() {
            Kind::Stream => Self::Stream(Listener::from_claim(claim)?),
            Kind::SeqPacket => Self::SeqPacket(SeqPacketListener::from_claim(claim)?),
            Kind::Datagram => Self::Datagram(Datagram::from_claim(claim)?),
        })
    }

    /// Claims the address, or completes a takeover, before anybody is told that clients can connect.
    pub(crate) async fn take_over(
        takeover: Takeover,
        address: &Address,
    ) -> Result<Self, TakeoverError> {
        Ok(match address.kind() {
            Kind::SeqPacket => Self::SeqPacket(takeover.listen(address).await?.begin().await?),
            // A datagram socket was refused with the arguments.
            _ => Self::Stream(takeover.listen(address).await?.begin().await?),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Stream(_) => Kind::Stream,
            Self::SeqPacket(_) => Kind::SeqPacket,
            Self::Datagram(_) => Kind::Datagram,
        }
    }

    /// The address to call it by, where it is known.
    pub(crate) fn address(&self) -> Option<Address> {
        match self {
            Self::Stream(listener) => listener.address(),
            Self::SeqPacket(listener) => listener.address(),
            Self::Datagram(socket) => socket.address(),
        }
    }

    /// The predecessor that the socket was taken over from.
    pub(crate) fn predecessor(&self) -> Option<Peer> {
        match self {
            Self::Stream(listener) => listener.predecessor(),
            Self::SeqPacket(listener) => listener.predecessor(),
            Self::Datagram(_) => None,
        }
    }

    /// The directory of the socket, if any user may remove or replace files in it.
    pub(crate) fn unsafe_parent(&self) -> Option<PathBuf> {
        match self {
            Self::Stream(listener) => listener.unsafe_parent(),
            Self::SeqPacket(listener) => listener.unsafe_parent(),
            Self::Datagram(socket) => socket.unsafe_parent(),
        }
    }

    /// Checks an inherited socket. With `allows_fd_passing` clients may pass fds.
    pub(crate) fn adopt(
        fd: OwnedFd,
        kind: Kind,
        allows_fd_passing: bool,
    ) -> Result<Self, AdoptError> {
        let mut socket = match kind {
            Kind::Stream => Self::Stream(Listener::adopt(fd)?),
            Kind::SeqPacket => Self::SeqPacket(SeqPacketListener::adopt(fd)?),
            Kind::Datagram => Self::Datagram(Datagram::adopt(fd)?),
        };
        let set = match &mut socket {
            Self::Stream(listener) => listener.allow_fd_passing(allows_fd_passing),
            Self::SeqPacket(listener) => listener.allow_fd_passing(allows_fd_passing),
            Self::Datagram(socket) => socket.allow_fd_passing(allows_fd_passing),
        };
        set.map_err(AdoptError::Io)?;
        Ok(socket)
    }

    /// Waits until a client or a datagram waits, without accepting or receiving.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Stream(listener) => listener.readable().await,
            Self::SeqPacket(listener) => listener.readable().await,
            Self::Datagram(socket) => socket.readable().await,
        }
    }

    pub(crate) fn is_readable(&self) -> io::Result<bool> {
        match self {
            Self::Stream(listener) => listener.is_readable(),
            Self::SeqPacket(listener) => listener.is_readable(),
            Self::Datagram(socket) => socket.is_readable(),
        }
    }

    /// Closes the connections in the backlog, or discards the queued datagrams, and returns how many there
    /// were. The socket refuses new clients already.
    pub(crate) fn discard_queued(&self) -> u64 {
        let mut count = 0;
        // A program may have made the socket block.
        while self.is_readable().unwrap_or(false) {
            let taken = match self {
                Self::Stream(listener) => listener.try_accept().map(|taken| taken.is_some()),
                Self::SeqPacket(listener) => listener.try_accept().map(|taken| taken.is_some()),
                Self::Datagram(socket) => match socket.try_recv(&mut []) {
                    Ok(None) => Ok(false),
                    Ok(Some(received)) => {
                        drop(ReceivedFds(received.descriptors));
                        Ok(true)
                    }
                    Err(RecvError::TooLong { .. }) => Ok(true),
                    Err(error) => Err(error.into()),
                },
            };
            match taken {
                Ok(true) => count += 1,
                Ok(false) => break,
                // accept(2): a listener that is shut down and has an empty backlog.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                // How many more wait is not known, but there is one.
                Err(_) => return count + 1,
            }
        }
        count
    }

    pub(crate) fn refuse_new_clients(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(listener) => listener.refuse_new_clients(),
            Self::SeqPacket(listener) => listener.refuse_new_clients(),
            Self::Datagram(socket) => socket.refuse_new_clients(),
        }
    }
}

impl AsFd for ServedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(listener) => listener.as_fd(),
            Self::SeqPacket(listener) => listener.as_fd(),
            Self::Datagram(socket) => socket.as_fd(),
        }
    }
}
