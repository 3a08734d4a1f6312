//! [`Snapshot`]: the table and the processes, joined.

use std::collections::HashMap;
use std::io;

use crate::address::{Address, Kind};

use super::socket::Socket;

/// Which network namespaces to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Namespaces {
    /// That of this thread.
    Current,
    /// All that a process or a file in `/run/netns` leads to, as far as they may be entered
    /// (`CAP_SYS_ADMIN`).
    #[default]
    All,
}

/// How to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which network namespaces to look into.
    pub namespaces: Namespaces,
}

/// What permissions or time have kept out of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Hidden {
    /// Processes whose descriptors may not be read.
    pub processes: usize,
    /// Network namespaces that may not be entered.
    pub namespaces: usize,
    /// Tables that changed under every attempt to read them, so that sockets may be missing.
    pub tables: usize,
}

/// All UNIX sockets, as they were within some milliseconds.
#[derive(Debug)]
pub struct Snapshot {
    sockets: Vec<Socket>,
    by_inode: HashMap<u32, usize>,
    hidden: Hidden,
}

/// Two sockets that are joined, or that will be when the server accepts.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The end that called connect(2); of a socketpair(2) either.
    pub client: &'a Socket,
    /// The accepted end; of a pending connection the listener, of a datagram socket its default
    /// destination.
    pub server: &'a Socket,
}

impl Snapshot {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// As socket(2) for `AF_NETLINK` and what sock_diag(7) answers, for the current namespace.
    pub fn take(options: Options) -> io::Result<Self> {
        let _ = options;
        todo!()
    }

    /// All sockets, by inode number.
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// The socket with this inode number.
    #[must_use]
    pub fn by_inode(&self, inode: u32) -> Option<&Socket> {
        self.by_inode.get(&inode).map(|&at| &self.sockets[at])
    }

    /// What this snapshot does not show.
    #[must_use]
    pub fn hidden(&self) -> Hidden {
        self.hidden
    }

    /// The other end of a socket; of a pending connection the listener.
    #[must_use]
    pub fn peer_of(&self, socket: &Socket) -> Option<&Socket> {
        self.by_inode(socket.peer.or(socket.waits_at)?)
    }

    /// All connections, each once.
    pub fn connections(&self) -> impl Iterator<Item = Connection<'_>> {
        std::iter::empty()
    }

    /// The sockets at an address, by the identity of the file: a relative path, a symbolic or hard
    /// link, a renamed or bind-mounted file lead to the same ones. Also those that were bound to
    /// this path while another file is there now, or none; and accepted ones with their listener.
    /// The address's kind is not looked at.
    pub fn select(&self, address: &Address) -> Vec<&Socket> {
        let _ = (address, Kind::Stream);
        Vec::new()
    }
}
