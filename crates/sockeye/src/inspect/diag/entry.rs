//! [`DiagEntry`]: one socket of the kernel's table.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::address::Kind;

/// What a socket is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagState {
    /// listen(2) was called.
    Listening,
    /// connect(2), accept(2) or socketpair(2) joined it to another.
    Connected,
    /// Neither: bound, about to listen, or unused.
    Unconnected,
}

/// One socket of the kernel's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagEntry {
    /// Stream, seqpacket or datagram.
    pub kind: Kind,
    /// What it is doing.
    pub state: DiagState,
    /// The inode number of the socket itself, as in `/proc/PID/fd`.
    pub inode: u32,
    /// The name it was bound to, as given to bind(2): a path, or an abstract name with its leading
    /// NUL byte. An accepted socket has the name of its listener.
    pub name: Option<Vec<u8>>,
    /// The socket file it was bound to. An accepted socket has that of its listener.
    pub file: Option<FileId>,
    /// The inode number of the peer's socket; 0 for one that no process has open: not accepted yet, or
    /// closed.
    pub peer: Option<u32>,
    /// Of a listener the inode numbers of the sockets in its backlog, 0 for one that was closed
    /// meanwhile.
    pub waiting: Vec<u32>,
    /// Bytes to be read; of a listener the connections in its backlog.
    pub recv_queue: Option<u32>,
    /// Bytes sent and not yet read; of a listener its backlog limit.
    pub send_queue: Option<u32>,
    /// Bit 0: reading was shut down; bit 1: writing.
    pub shutdown: Option<u8>,
    /// The user who made the socket (Linux 5.3).
    pub uid: Option<u32>,
}

/// A socket file as sock_diag(7) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The lower 32 bits of the inode number.
    pub inode: u32,
    /// The device of the file system in the kernel's own encoding, 12 bits major and 20 bits minor;
    /// `st_dev` can be another one (btrfs, overlayfs).
    pub device: u32,
}

impl DiagEntry {
    /// Whether this socket can be reached at the file or name it is bound to, now or once it calls
    /// listen(2). An accepted socket bears its listener's name and cannot.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.kind == Kind::Datagram || self.state != DiagState::Connected
    }

    /// Whether the path that it was bound to ends with this name.
    pub(crate) fn is_named(&self, base: &OsStr) -> bool {
        let base = base.as_bytes();
        let name = self.name.as_deref().unwrap_or_default();
        name == base || name.strip_suffix(base).is_some_and(|d| d.ends_with(b"/"))
    }
}
