//! [`OtherEnd`]: what is at the other end of a socket.

use sockeye::inspect::{Snapshot, Socket, State};

/// What is at the other end of a socket.
#[derive(Clone, Copy)]
pub(crate) enum OtherEnd<'a> {
    Nothing,
    /// Something that the snapshot does not show.
    Unknown(Option<u32>),
    Socket(&'a Socket),
    /// The listener that a connection waits at: the socket that it will have is none yet.
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
            State::Connected | State::Pending => Self::Unknown(None),
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
