//! [`ClientName`]: what the log calls a client.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use sockeye::listener::ConnectedSocket;
use sockeye::net_stream::NetAddr;
use sockeye::server::Connection;
use sockeye::{NetStream, Peer, SeqPacket, Stream};

use crate::output::message::MessageSender;

#[derive(Clone, Copy)]
pub(super) enum ClientName {
    /// By its peer credentials, where they are known.
    Peer(Option<Peer>),
    Net(Option<NetAddr>),
    Stdio,
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => f.write_str(&MessageSender::new(*peer).describe()),
            Self::Net(Some(address)) => address.fmt(f),
            Self::Net(None) => f.write_str("?"),
            Self::Stdio => f.write_str("standard input"),
        }
    }
}

/// A socket that a relay accepts.
pub(super) trait NamedSocket: ConnectedSocket {
    fn name(connection: &Connection<Self>) -> ClientName;

    /// Its fd, if it is a UNIX socket.
    fn unix(connection: &Connection<Self>) -> Option<BorrowedFd<'_>>;
}

impl NamedSocket for Stream {
    fn name(connection: &Connection<Self>) -> ClientName {
        ClientName::Peer(connection.peer().ok())
    }

    fn unix(connection: &Connection<Self>) -> Option<BorrowedFd<'_>> {
        Some(connection.as_fd())
    }
}

impl NamedSocket for SeqPacket {
    fn name(connection: &Connection<Self>) -> ClientName {
        ClientName::Peer(connection.peer().ok())
    }

    fn unix(connection: &Connection<Self>) -> Option<BorrowedFd<'_>> {
        Some(connection.as_fd())
    }
}

impl NamedSocket for NetStream {
    fn name(connection: &Connection<Self>) -> ClientName {
        ClientName::Net(connection.socket().peer_addr().ok())
    }

    fn unix(_: &Connection<Self>) -> Option<BorrowedFd<'_>> {
        None
    }
}
