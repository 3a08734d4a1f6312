//! [`Snapshot`]: the table and the processes, joined.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use super::diag::{self, DiagEntry, FileId};
use super::file::unplaced;
use super::hung_files::HungFiles;
use super::namespace;
use super::options::{Hidden, Namespaces, SnapshotOptions};
use super::procfs::{self, Open, Walk};
use super::socket::{BoundName, Holder, Socket, SocketState};
use super::tables::Tables;
use crate::address::Kind;

/// All UNIX sockets, as they were within some milliseconds.
#[doc(alias = "sock_diag")]
#[doc(alias = "ss")]
#[doc(alias = "lsof")]
#[derive(Debug)]
pub struct Snapshot {
    pub(super) sockets: Vec<Socket>,
    /// The file of each socket, as the kernel names it.
    pub(super) files: Vec<Option<FileId>>,
    by_inode: HashMap<u32, usize>,
    hidden: Hidden,
    unlisted: Vec<Holder>,
    pub(super) hung_files: Mutex<HungFiles>,
}

/// The two sockets of a connection, or of one that the server has not accepted yet.
#[doc(alias = "Connection")]
#[derive(Debug, Clone, Copy)]
pub struct Endpoints<'a> {
    /// The end that called connect(2); of a socketpair(2) either.
    pub client: &'a Socket,
    /// The accepted end; of a pending connection the listener, of a datagram socket its default
    /// destination.
    pub server: &'a Socket,
}

impl Snapshot {
    /// Takes a snapshot, and looks at the files that sockets are bound to: blocks where a file system
    /// hangs.
    ///
    /// # Errors
    /// As socket(2) for `AF_NETLINK` and what sock_diag(7) answers, for the current namespace.
    pub fn take(options: SnapshotOptions) -> io::Result<Self> {
        let mut snapshot = Self::read(options, HungFiles::default())?;
        snapshot.look_at_files(|_| true);
        Ok(snapshot)
    }

    /// Takes a snapshot that waits for file systems that hang (FUSE, NFS) no longer than `deadline`, all
    /// looks at files together. [`Snapshot::look_at_files`] and [`Snapshot::select`] look at files, from
    /// a forked copy of this process ([`ForkedWorker`](super::ForkedWorker)); until then [`Socket::file`] has no state,
    /// and the device and inode number that sock_diag(7) gives.
    ///
    /// # Errors
    /// As [`Snapshot::take`].
    pub fn take_without_files(options: SnapshotOptions, deadline: Duration) -> io::Result<Self> {
        Self::read(options, HungFiles::within(deadline))
    }

    fn read(options: SnapshotOptions, hung_files: HungFiles) -> io::Result<Self> {
        let mut hidden = Hidden::default();
        // At the same time; what changes in between is the same for both orders.
        let (tables, walk) = std::thread::scope(|scope| {
            let walk = scope.spawn(procfs::walk);
            let tables = Tables::read(options, &mut hidden);
            (tables, walk.join().unwrap_or_default())
        });
        let mut tables = tables?;
        hidden.processes = walk.denied;
        let unlisted = match options.namespaces {
            Namespaces::All => tables.complete(&walk, options, &mut hidden)?,
            // Those of other namespaces are not asked for.
            Namespaces::Current => Vec::new(),
        };
        let inodes: HashSet<u32> = unlisted.iter().map(|open| open.inode).collect();
        hidden.sockets = inodes.len();
        let unlisted: Vec<Holder> = unlisted.into_iter().map(Open::holder).collect();
        let mut snapshot = Self::join(tables, walk, hidden, unlisted, hung_files);
        // A socket that nobody has may be on its way in a message, or have been closed meanwhile.
        if snapshot.sockets.iter().any(Socket::is_abandoned) {
            let now = Tables::read(options, &mut Hidden::default())?;
            snapshot.retain(|socket| {
                !socket.is_abandoned() || now.by_inode.contains_key(&socket.inode)
            });
        }
        Ok(snapshot)
    }

    fn retain(&mut self, keep: impl Fn(&Socket) -> bool) {
        let both = std::mem::take(&mut self.sockets)
            .into_iter()
            .zip(std::mem::take(&mut self.files));
        (self.sockets, self.files) = both.filter(|(socket, _)| keep(socket)).unzip();
        let numbered = self.sockets.iter().enumerate();
        self.by_inode = numbered.map(|(at, socket)| (socket.inode, at)).collect();
    }

    fn join(
        tables: Tables,
        walk: Walk,
        hidden: Hidden,
        unlisted: Vec<Holder>,
        hung_files: HungFiles,
    ) -> Self {
        let Tables {
            mut entries,
            by_inode,
        } = tables;
        let mut waits_at: HashMap<u32, u32> = HashMap::new();
        for (entry, _) in &mut entries {
            // Closed meanwhile.
            entry.waiting.retain(|&client| client != 0);
            for &client in &entry.waiting {
                waits_at.insert(client, entry.inode);
            }
        }
        let mut holders = holders_of(walk, &by_inode);
        let mut everybody = hidden.processes == 0 && procfs::shows_everybody();
        if everybody && holders.iter().any(Vec::is_empty) {
            // Many of those were made after their process was looked into.
            let again = procfs::walk();
            everybody = again.denied == 0;
            for (found, again) in holders.iter_mut().zip(holders_of(again, &by_inode)) {
                if found.is_empty() {
                    *found = again;
                }
            }
        }
        let mut files = Vec::with_capacity(entries.len());
        let mut sockets = Vec::with_capacity(entries.len());
        for ((entry, namespace), found) in entries.into_iter().zip(holders) {
            // Nobody is only certain if everybody could be asked.
            let holders = (!found.is_empty() || everybody).then_some(found);
            let waits_at = waits_at.get(&entry.inode).copied();
            files.push(entry.file);
            sockets.push(socket_of(entry, namespace, holders, waits_at));
        }
        Self {
            sockets,
            files,
            by_inode,
            hidden,
            unlisted,
            hung_files: Mutex::new(hung_files),
        }
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
        Hidden {
            files: self.hidden_files(),
            ..self.hidden
        }
    }

    /// The holders of sockets that are in none of the tables that could be read. Filled with
    /// [`Namespaces::All`] only.
    #[must_use]
    pub fn unlisted(&self) -> &[Holder] {
        &self.unlisted
    }

    /// The peer of a socket; of a pending connection the listener.
    #[must_use]
    pub fn peer_of(&self, socket: &Socket) -> Option<&Socket> {
        self.by_inode(socket.peer.or(socket.waits_at)?)
    }

    /// All connections, each once.
    pub fn connections(&self) -> impl Iterator<Item = Endpoints<'_>> {
        let listening: HashSet<(Kind, &BoundName)> = self
            .sockets
            .iter()
            .filter(|socket| socket.state == SocketState::Listening)
            .filter_map(|socket| Some((socket.kind, socket.name.as_ref()?)))
            .collect();
        self.sockets.iter().filter_map(move |socket| {
            let other = self.peer_of(socket)?;
            // An accepted socket bears the name of its listener.
            let is_accepted = |socket: &Socket| {
                let name = socket.name.as_ref();
                name.is_some_and(|name| listening.contains(&(socket.kind, name)))
            };
            let one_way = socket.state == SocketState::Pending || other.peer != Some(socket.inode);
            if !one_way && socket.inode > other.inode {
                return None;
            }
            let rank = |socket: &Socket| (is_accepted(socket), socket.name.is_some());
            let (client, server) = if !one_way && rank(socket) > rank(other) {
                (other, socket)
            } else {
                (socket, other)
            };
            Some(Endpoints { client, server })
        })
    }
}

fn socket_of(
    entry: DiagEntry,
    namespace: Option<namespace::Id>,
    holders: Option<Vec<Holder>>,
    waits_at: Option<u32>,
) -> Socket {
    Socket {
        kind: entry.kind,
        state: state_of(&entry, waits_at.is_some()),
        inode: entry.inode,
        file: entry.name.as_ref().and(entry.file).map(unplaced),
        name: entry.name.map(|name| match name.strip_prefix(b"\0") {
            Some(name) => BoundName::Abstract(name.to_vec()),
            None => BoundName::Path(name),
        }),
        file_path: None,
        uid: entry.uid,
        recv_queue: entry.recv_queue,
        send_queue: entry.send_queue,
        shut_read: entry.shutdown.map(|bits| bits & 1 != 0),
        shut_write: entry.shutdown.map(|bits| bits & 2 != 0),
        holders,
        namespace,
        peer: entry.peer.filter(|&peer| peer != 0),
        waits_at,
        waiting: entry.waiting,
    }
}

fn state_of(entry: &DiagEntry, waits: bool) -> SocketState {
    let apart = match entry.name {
        Some(_) => SocketState::Bound,
        None => SocketState::Unconnected,
    };
    let peer = match entry.peer {
        Some(0) => Some(SocketState::Closed),
        Some(_) => Some(SocketState::Connected),
        None => None,
    };
    match entry.state {
        // The kernel marks a datagram socket as connected when another one has connected to it.
        _ if entry.kind == Kind::Datagram => peer.unwrap_or(apart),
        diag::DiagState::Listening => SocketState::Listening,
        diag::DiagState::Unconnected => apart,
        diag::DiagState::Connected if waits => SocketState::Pending,
        // Its listener is in a table that we could not read, for the other end of a closed
        // connection has shut both directions down.
        diag::DiagState::Connected if entry.peer == Some(0) && entry.shutdown < Some(3) => {
            SocketState::Pending
        }
        diag::DiagState::Connected => peer.unwrap_or(SocketState::Closed),
    }
}

/// Who has the sockets of the table open, by their place in it.
fn holders_of(walk: Walk, by_inode: &HashMap<u32, usize>) -> Vec<Vec<Holder>> {
    let mut holders = vec![Vec::new(); by_inode.len()];
    for open in walk.found {
        if let Some(&at) = by_inode.get(&open.inode) {
            holders[at].push(open.holder());
        }
    }
    for of_one in &mut holders {
        of_one.sort_unstable_by_key(|holder: &Holder| (holder.process.pid, holder.fd));
        // Some threads of a process may share a table that is not that of the process.
        of_one.dedup_by_key(|holder| (holder.process.pid, holder.fd));
    }
    holders
}
