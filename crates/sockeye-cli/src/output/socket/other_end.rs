//! [`OtherEnd`]: the peer of a socket.

use sockeye::inspect::{Snapshot, Socket, SocketState};

/// The peer of a socket.
#[derive(Clone, Copy)]
pub(crate) enum OtherEnd<'a> {
    Nothing,
    /// A peer that is not in the snapshot, with its inode number.
    Unknown(Option<u32>),
    Socket(&'a Socket),
    /// The listener in whose backlog the connection waits: it has no peer before accept(2).
    Backlog(&'a Socket),
}

impl<'a> OtherEnd<'a> {
    pub(crate) fn of(socket: &Socket, snapshot: &'a Snapshot) -> Self {
        if let Some(inode) = socket.peer {
            let found = snapshot.by_inode(inode);
            return found.map_or(Self::Unknown(Some(inode)), Self::Socket);
        }
        if let Some(listener) = socket.waits_at.and_then(|inode| snapshot.by_inode(inode)) {
            return Self::Backlog(listener);
        }
        match socket.state {
            SocketState::Connected | SocketState::Pending => Self::Unknown(None),
            _ => Self::Nothing,
        }
    }

    pub(crate) fn socket(self) -> Option<&'a Socket> {
        match self {
            Self::Socket(socket) | Self::Backlog(socket) => Some(socket),
            _ => None,
        }
    }

    pub(crate) fn inode(self) -> Option<u32> {
        match self {
            Self::Unknown(inode) => inode,
            Self::Socket(socket) => Some(socket.inode),
            _ => None,
        }
    }
}
