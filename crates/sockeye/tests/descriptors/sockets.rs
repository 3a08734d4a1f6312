//! All kinds of sockets, those that block and those that do not, under one name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sockeye::Kind;
use sockeye::ancillary::{self, Received, RecvError, SendError};

#[cfg(feature = "tokio")]
use sockeye::{Datagram, SeqPacket, Stream};
#[cfg(feature = "tokio")]
use tokio::runtime::Runtime;

/// One end.
#[allow(clippy::large_enum_variant)] // a few of them, in a test
enum Socket {
    Blocking(OwnedFd),
    #[cfg(feature = "tokio")]
    Stream(Stream),
    #[cfg(feature = "tokio")]
    SeqPacket(SeqPacket),
    #[cfg(feature = "tokio")]
    Datagram(Datagram),
}

/// Two ends.
pub(crate) struct Pair {
    pub(crate) kind: Kind,
    left: Socket,
    right: Socket,
    #[cfg(feature = "tokio")]
    runtime: Runtime,
}

fn direct(kind: Kind) -> (OwnedFd, OwnedFd) {
    let socket_type = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, socket_type, flags, None).unwrap()
}

#[cfg(feature = "tokio")]
pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

impl Pair {
    /// One of each kind that blocks, and one that does not.
    pub(crate) fn all() -> Vec<Self> {
        let kinds = [Kind::Stream, Kind::SeqPacket, Kind::Datagram];
        let blocking = kinds.map(Self::blocking);
        #[cfg(feature = "tokio")]
        let asynchronous = kinds.map(Self::asynchronous);
        #[cfg(not(feature = "tokio"))]
        let asynchronous = [];
        blocking.into_iter().chain(asynchronous).collect()
    }

    /// Those that keep the boundaries of records.
    pub(crate) fn of_records() -> impl Iterator<Item = Self> {
        let keeps = |pair: &Self| pair.kind != Kind::Stream;
        Self::all().into_iter().filter(keeps)
    }

    fn blocking(kind: Kind) -> Self {
        let (left, right) = direct(kind);
        let adopted = |fd: OwnedFd| match kind {
            Kind::Stream => fd,
            // Only its mark on the socket is wanted.
            Kind::SeqPacket => {
                sockeye::packet::BlockingSeqPacket::adopt(fd.try_clone().unwrap()).unwrap();
                fd
            }
            Kind::Datagram => {
                drop(sockeye::packet::BlockingDatagram::adopt(fd.try_clone().unwrap()).unwrap());
                fd
            }
        };
        Self {
            kind,
            left: Socket::Blocking(adopted(left)),
            right: Socket::Blocking(adopted(right)),
            #[cfg(feature = "tokio")]
            runtime: runtime(),
        }
    }

    #[cfg(feature = "tokio")]
    fn asynchronous(kind: Kind) -> Self {
        let (left, right) = direct(kind);
        let runtime = runtime();
        let adopted = |fd: OwnedFd| {
            let _entered = runtime.enter();
            match kind {
                Kind::Stream => Socket::Stream(Stream::adopt(fd).unwrap()),
                Kind::SeqPacket => Socket::SeqPacket(SeqPacket::adopt(fd).unwrap()),
                Kind::Datagram => Socket::Datagram(Datagram::adopt(fd).unwrap()),
            }
        };
        Self {
            kind,
            left: adopted(left),
            right: adopted(right),
            runtime,
        }
    }

    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        match &mut self.left {
            Socket::Blocking(left) => ancillary::send_msg(left, bytes, descriptors),
            #[cfg(feature = "tokio")]
            Socket::Stream(left) => self.runtime.block_on(left.send_msg(bytes, descriptors)),
            #[cfg(feature = "tokio")]
            Socket::SeqPacket(left) => self.runtime.block_on(left.send_msg(bytes, descriptors)),
            #[cfg(feature = "tokio")]
            Socket::Datagram(left) => self.runtime.block_on(left.send_msg(bytes, descriptors)),
        }
    }

    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        match &mut self.right {
            Socket::Blocking(right) => ancillary::recv_msg(right, buffer),
            #[cfg(feature = "tokio")]
            Socket::Stream(right) => self.runtime.block_on(right.recv_msg(buffer)),
            #[cfg(feature = "tokio")]
            Socket::SeqPacket(right) => self.runtime.block_on(right.recv_msg(buffer)),
            #[cfg(feature = "tokio")]
            Socket::Datagram(right) => self.runtime.block_on(right.recv_msg(buffer)).map(Some),
        }
    }

    pub(crate) fn right(&self) -> BorrowedFd<'_> {
        match &self.right {
            Socket::Blocking(right) => right.as_fd(),
            #[cfg(feature = "tokio")]
            Socket::Stream(right) => right.as_fd(),
            #[cfg(feature = "tokio")]
            Socket::SeqPacket(right) => right.as_fd(),
            #[cfg(feature = "tokio")]
            Socket::Datagram(right) => right.as_fd(),
        }
    }

    /// Starts to receive, and gives up as nothing is there.
    #[cfg(feature = "tokio")]
    pub(crate) fn give_up_receiving(&mut self) {
        let mut buffer = [0; 8];
        let now = std::time::Duration::ZERO;
        let is_there = self.runtime.block_on(async {
            match &mut self.right {
                Socket::Blocking(_) => false,
                Socket::Stream(right) => {
                    let wait = right.recv_msg(&mut buffer);
                    tokio::time::timeout(now, wait).await.is_ok()
                }
                Socket::SeqPacket(right) => {
                    let wait = right.recv_msg(&mut buffer);
                    tokio::time::timeout(now, wait).await.is_ok()
                }
                Socket::Datagram(right) => {
                    let wait = right.recv_msg(&mut buffer);
                    tokio::time::timeout(now, wait).await.is_ok()
                }
            }
        });
        assert!(!is_there);
    }

    /// Whether anything waits at the right end.
    pub(crate) fn has_something(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let right = self.right();
        let mut state = [PollFd::from_borrowed_fd(right, PollFlags::IN)];
        poll(&mut state, Some(&Timespec::default())).unwrap() > 0
    }

    /// Closes the left end.
    pub(crate) fn close_left(&mut self) {
        self.left = Socket::Blocking(direct(Kind::Stream).0);
    }
}
