//! [`Socket`]: a UNIX socket, its state, its file and its holders.

use std::path::PathBuf;
use std::sync::Arc;

use crate::address::Kind;

/// What a socket is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketState {
    /// listen(2) was called.
    Listening,
    /// Joined to another socket, or a datagram socket with a default destination.
    Connected,
    /// connect(2) has succeeded, and the connection waits in the backlog of a listener.
    Pending,
    /// Bound, and neither listening nor connected.
    Bound,
    /// Neither bound nor connected.
    Unconnected,
    /// Was connected, and the peer has closed.
    Closed,
}

/// The name that a socket was bound to. An accepted socket has that of its listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BoundName {
    /// A path as it was given to bind(2), relative ones too.
    Path(Vec<u8>),
    /// A name in the abstract namespace, without the leading NUL byte.
    Abstract(Vec<u8>),
}

/// Whether the file at the bound path is still this socket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// It is.
    Present,
    /// Another file is there.
    Replaced,
    /// No file is there.
    Removed,
}

/// The socket file that a socket was bound to. An accepted socket has that of its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketFile {
    /// The device as stat(2) shows it (`st_dev`).
    pub device: u64,
    /// The inode number; of a file that is not present the lower 32 bits.
    pub inode: u64,
    /// `None` where the bound path cannot be placed: a relative one, or one of a mount namespace
    /// that may not be looked into.
    pub state: Option<FileState>,
    /// Whether the bound path leads elsewhere for its holder than for us, in another mount namespace or
    /// root directory: the state is that of the file there.
    pub elsewhere: bool,
}

/// A process that has a socket open.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command name, which it chose itself; `None` where it has gone.
    pub command: Option<Vec<u8>>,
    /// Its effective user id; `None` where it has gone.
    pub uid: Option<u32>,
}

/// A file descriptor (fd) of a socket, and its process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The process that has it open.
    pub process: Arc<Process>,
    /// Its number in that process.
    pub fd: i32,
}

/// A UNIX socket. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Socket {
    /// Stream, seqpacket or datagram.
    pub kind: Kind,
    /// What it is doing.
    pub state: SocketState,
    /// What it was bound to, if it was.
    pub name: Option<BoundName>,
    /// The inode number of the socket itself, as in `/proc/PID/fd`.
    pub inode: u32,
    /// The file that it was bound to, if the name is a path.
    pub file: Option<SocketFile>,
    /// The path of that file, as the holder of the socket sees it, where it is not the name that was
    /// bound: it was renamed, or the name led through an fd (`/proc/self/fd/N/app.sock`).
    pub file_path: Option<PathBuf>,
    /// The user who made it.
    pub uid: Option<u32>,
    /// Bytes to be read; of a listener the connections in its backlog.
    pub recv_queue: Option<u32>,
    /// Bytes sent and not yet read by the peer; of a listener its backlog limit.
    pub send_queue: Option<u32>,
    /// Whether reading was shut down.
    pub shut_read: Option<bool>,
    /// Whether writing was shut down.
    pub shut_write: Option<bool>,
    /// The processes that have it open, by pid and fd. Empty only if it is certain that there are none.
    pub holders: Option<Vec<Holder>>,
    /// The network namespace, as the inode number of `/proc/PID/ns/net`.
    pub namespace: Option<u64>,
    /// The inode number of the peer's socket. A connection in a backlog has none yet.
    pub peer: Option<u32>,
    /// Of a pending connection, the listener in whose backlog it is.
    pub waits_at: Option<u32>,
    /// Of a listener, the inode numbers of the sockets in its backlog; also of those that are not in the
    /// snapshot, since they are in a network namespace that may not be read.
    pub waiting: Vec<u32>,
}

impl Socket {
    pub(super) fn is_abandoned(&self) -> bool {
        self.holders.as_ref().is_some_and(Vec::is_empty)
    }
}
