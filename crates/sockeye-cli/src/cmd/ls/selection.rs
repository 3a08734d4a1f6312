//! Which sockets the arguments select, and their order.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use sockeye::Kind;
use sockeye::inspect::{BoundName, Snapshot, Socket, SocketState};

use crate::args::{ListedAddress, Ls};
use crate::cmd::visibility::has_name;

/// A socket to be shown.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) socket: &'a Socket,
    /// The server's socket whose row is above, if it belongs to one.
    pub(super) under: Option<&'a Socket>,
}

impl<'a> Item<'a> {
    /// The server's socket, if that is the peer of this client itself: the client waits in the backlog,
    /// or it is a datagram socket.
    pub(super) fn server(&self) -> Option<&'a Socket> {
        self.under.filter(|server| calls(self.socket, server))
    }
}

/// The sockets that the arguments select, in the order of the rows.
pub(super) fn select<'a>(args: &Ls, snapshot: &'a Snapshot) -> Vec<Item<'a>> {
    let by_address = args.addresses().next().is_some();
    let all = args.all || args.has_filter();
    let chosen: Vec<&Socket> = if by_address {
        at_addresses(args, snapshot)
    } else if all || args.listening {
        snapshot.sockets().iter().collect()
    } else {
        served(snapshot)
    };
    let chosen: Vec<&Socket> = chosen
        .into_iter()
        .filter(|socket| passes(args, socket))
        .collect();
    arrange(&chosen, !args.has_filter() && !args.all)
}

/// Whether a socket matches all filters: one value of each that is given.
pub(super) fn passes(args: &Ls, socket: &Socket) -> bool {
    let holds = |pid: &i32| {
        let holders = socket.holders.as_deref().unwrap_or_default();
        holders.iter().any(|holder| holder.process.pid == *pid)
    };
    (args.inodes.is_empty() || args.inodes.contains(&socket.inode))
        && args.wants_kind(socket.kind)
        && args.wants_user(socket.uid)
        && (!args.listening || socket.state == SocketState::Listening)
        && (args.pids.is_empty() || args.pids.iter().any(holds))
}

/// The inode numbers of the sockets whose files are looked at: those that are shown, their peers, and
/// those with the name of an address. Other files may be on file systems that hang.
pub(super) fn shown(args: &Ls, snapshot: &Snapshot) -> HashSet<u32> {
    let mut sockets: Vec<&Socket> = if args.connections {
        snapshot
            .sockets()
            .iter()
            .filter(|s| passes(args, s))
            .collect()
    } else {
        select(args, snapshot)
            .iter()
            .map(|item| item.socket)
            .collect()
    };
    if args.connections {
        sockets.retain(|socket| snapshot.peer_of(socket).is_some());
    }
    let is_namesake = |socket: &&Socket| {
        let mut paths = args.addresses().filter_map(|target| target.address.path());
        paths.any(|path| has_name(socket, path))
    };
    sockets.extend(snapshot.sockets().iter().filter(is_namesake));
    let ends = sockets.iter().filter_map(|socket| snapshot.peer_of(socket));
    let ends: HashSet<u32> = ends.map(|end| end.inode).collect();
    sockets
        .iter()
        .map(|socket| socket.inode)
        .chain(ends)
        .collect()
}

/// The sockets at one address.
pub(super) fn at<'a>(target: &ListedAddress, snapshot: &'a Snapshot) -> Vec<&'a Socket> {
    let mut found = snapshot.select(&target.address);
    found.retain(|socket| target.kind.is_none_or(|kind| kind == socket.kind));
    found
}

/// The sockets at the addresses, and their clients.
fn at_addresses<'a>(args: &Ls, snapshot: &'a Snapshot) -> Vec<&'a Socket> {
    let mut seen = HashSet::new();
    let mut chosen: Vec<&Socket> = args
        .addresses()
        .flat_map(|target| at(target, snapshot))
        .collect();
    chosen.retain(|socket| seen.insert(socket.inode));
    let servers = seen.clone();
    let called = |socket: &&Socket| {
        snapshot
            .peer_of(socket)
            .is_some_and(|server| servers.contains(&server.inode) && calls(socket, server))
    };
    let clients = snapshot.sockets().iter().filter(called);
    chosen.extend(clients.filter(|client| seen.insert(client.inode)));
    chosen
}

/// Every named listener and its connections.
fn served(snapshot: &Snapshot) -> Vec<&Socket> {
    let is_listener =
        |socket: &&Socket| socket.state == SocketState::Listening && socket.name.is_some();
    let servers = Servers::among(snapshot.sockets().iter().filter(is_listener));
    let is_served = |socket: &&Socket| is_listener(socket) || servers.of(socket).is_some();
    snapshot.sockets().iter().filter(is_served).collect()
}

/// Whether this socket of a server itself is the peer of `client`.
fn calls(client: &Socket, server: &Socket) -> bool {
    match client.kind {
        Kind::Datagram => client.peer == Some(server.inode) && server.peer != Some(client.inode),
        _ => client.waits_at == Some(server.inode),
    }
}

/// Servers' sockets, by name and by inode number.
struct Servers<'a> {
    by_name: HashMap<Key<'a>, &'a Socket>,
    by_inode: HashMap<u32, &'a Socket>,
}

/// What an accepted socket has in common with its listener.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    kind: Kind,
    name: &'a BoundName,
    /// Device and inode number of the file; of an abstract name the network namespace.
    place: Option<(u64, u64)>,
}

impl<'a> Key<'a> {
    fn of(socket: &'a Socket) -> Option<Self> {
        let name = socket.name.as_ref()?;
        let file = socket
            .file
            .map(|file| (file.device, file.inode & u64::from(u32::MAX)));
        Some(Self {
            kind: socket.kind,
            name,
            place: match name {
                BoundName::Path(_) => file,
                BoundName::Abstract(_) => socket.namespace.map(|id| (0, id)),
            },
        })
    }
}

impl<'a> Servers<'a> {
    fn among(sockets: impl Iterator<Item = &'a Socket>) -> Self {
        let mut servers = Self {
            by_name: HashMap::new(),
            by_inode: HashMap::new(),
        };
        for socket in sockets {
            let serves = match socket.kind {
                Kind::Datagram => socket.name.is_some(),
                _ => socket.state == SocketState::Listening,
            };
            if serves {
                servers.by_inode.insert(socket.inode, socket);
                if let (SocketState::Listening, Some(key)) = (socket.state, Key::of(socket)) {
                    servers.by_name.entry(key).or_insert(socket);
                }
            }
        }
        servers
    }

    /// The one that this socket was accepted from, or is connected to.
    fn of(&self, socket: &Socket) -> Option<&'a Socket> {
        match (socket.kind, socket.state) {
            (Kind::Datagram, _) => {
                let server = *self.by_inode.get(&socket.peer?)?;
                calls(socket, server).then_some(server)
            }
            (_, SocketState::Pending) => self.by_inode.get(&socket.waits_at?).copied(),
            (_, SocketState::Connected | SocketState::Closed) => {
                self.by_name.get(&Key::of(socket)?).copied()
            }
            _ => None,
        }
    }
}

/// Sorts by name, with the accepted sockets of a server right after it, and with `clients` also its
/// clients.
fn arrange<'a>(chosen: &[&'a Socket], clients: bool) -> Vec<Item<'a>> {
    let servers = Servers::among(chosen.iter().copied());
    let mut items: Vec<Item> = chosen
        .iter()
        .map(|&socket| Item {
            socket,
            under: servers
                .of(socket)
                .filter(|server| clients || !calls(socket, server)),
        })
        .collect();
    // A datagram client may be a server itself, with a place of its own.
    let tops: HashSet<u32> = items
        .iter()
        .filter(|i| i.under.is_none())
        .map(|i| i.socket.inode)
        .collect();
    for item in &mut items {
        item.under = item.under.filter(|server| tops.contains(&server.inode));
    }
    // Stable: fast for the unnamed ones, which are in order already.
    items.sort_by(|a, b| place(a).cmp(&place(b)));
    items
}

/// The sort key: named ones first, by name; what belongs to one right after it.
fn place<'a>(item: &Item<'a>) -> (bool, &'a [u8], u32, bool, u32) {
    let head = item.under.unwrap_or(item.socket);
    let name: &[u8] = match (&head.file_path, &head.name) {
        (Some(path), _) => path.as_os_str().as_bytes(),
        (None, Some(BoundName::Path(name) | BoundName::Abstract(name))) => name,
        (None, None) => &[],
    };
    let rank = (head.name.is_none(), name, head.inode);
    (
        rank.0,
        rank.1,
        rank.2,
        item.under.is_some(),
        item.socket.inode,
    )
}
