//! [`Snapshot`]: sockets of this process, found and joined.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use sockeye::inspect::{
    BoundName, FileState, Namespaces, Snapshot, SnapshotOptions, Socket, SocketState,
};
use sockeye::{Address, Claim, Kind};

use crate::support::{Place, connected, in_own_directory, is_root, listening};

mod renamed;

fn snapshot() -> Snapshot {
    Snapshot::take(SnapshotOptions {
        namespaces: Namespaces::Current,
    })
    .unwrap()
}

fn inode(fd: impl AsFd) -> u32 {
    u32::try_from(rustix::fs::fstat(fd).unwrap().st_ino).unwrap()
}

fn of(snapshot: &Snapshot, fd: impl AsFd) -> Socket {
    snapshot.by_inode(inode(fd)).unwrap().clone()
}

/// The descriptors of this process that hold it.
fn held_by(socket: &Socket) -> Vec<i32> {
    let holders = socket.holders.as_ref().unwrap();
    for holder in holders {
        assert_eq!(holder.process.pid, std::process::id().cast_signed());
        assert!(holder.process.command.is_some());
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(holder.process.uid, Some(uid));
    }
    holders.iter().map(|holder| holder.fd).collect()
}

fn inodes(found: &[&Socket]) -> Vec<u32> {
    let mut inodes: Vec<u32> = found.iter().map(|socket| socket.inode).collect();
    inodes.sort_unstable();
    inodes
}

fn select(path: &Path) -> Vec<(u32, Option<FileState>)> {
    let snapshot = snapshot();
    let found = snapshot.select(&Address::from_path(path).unwrap());
    let mut states: Vec<_> = found
        .iter()
        .map(|socket| (socket.inode, socket.file.unwrap().state))
        .collect();
    states.sort_unstable_by_key(|&(inode, _)| inode);
    states
}

#[test]
fn a_connection_joins_both_ends() {
    let place = Place::new();
    let listener = Claim::options()
        .backlog(7)
        .claim(&place.address())
        .unwrap()
        .into_blocking()
        .unwrap();
    let client = UnixStream::connect(place.socket()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let second = server.try_clone().unwrap();

    let snapshot = snapshot();
    let found = snapshot.select(&place.address());
    let mut expected = vec![inode(&*listener), inode(&server)];
    expected.sort_unstable();
    assert_eq!(inodes(&found), expected);

    let socket = of(&snapshot, &*listener);
    assert_eq!(
        (socket.kind, socket.state),
        (Kind::Stream, SocketState::Listening)
    );
    assert_eq!((socket.recv_queue, socket.send_queue), (Some(0), Some(7)));
    let name = place.socket().into_os_string().into_encoded_bytes();
    assert_eq!(socket.name, Some(BoundName::Path(name)));
    assert_eq!(held_by(&socket), [listener.as_raw_fd()]);
    assert_eq!(socket.uid, Some(rustix::process::geteuid().as_raw()));
    let file = socket.file.unwrap();
    let stat = fs::metadata(place.socket()).unwrap();
    assert_eq!((file.device, file.inode), (stat.dev(), stat.ino()));
    assert_eq!(file.state, Some(FileState::Present));
    let namespace = fs::metadata("/proc/self/ns/net").unwrap().ino();
    assert_eq!(socket.namespace, Some(namespace));

    let accepted = of(&snapshot, &server);
    assert_eq!(accepted.state, SocketState::Connected);
    assert_eq!(accepted.peer, Some(inode(&client)));
    let mut both = vec![server.as_raw_fd(), second.as_raw_fd()];
    both.sort_unstable();
    assert_eq!(held_by(&accepted), both);
    let other = snapshot.peer_of(&accepted).unwrap();
    assert_eq!(held_by(other), [client.as_raw_fd()]);
    let pairs: Vec<_> = snapshot
        .connections()
        .filter(|pair| [pair.client.inode, pair.server.inode].contains(&accepted.inode))
        .map(|pair| (pair.client.inode, pair.server.inode))
        .collect();
    assert_eq!(pairs, [(inode(&client), accepted.inode)]);
}

#[test]
fn a_connection_in_the_backlog_is_pending_at_its_listener() {
    for kind in [Kind::Stream, Kind::SeqPacket] {
        let place = Place::new();
        let listener = listening(kind, &place.socket(), 3);
        let client = connected(kind, &place.socket());
        let snapshot = snapshot();
        let waiting = of(&snapshot, &client);
        assert_eq!(waiting.state, SocketState::Pending);
        assert_eq!(
            (waiting.peer, waiting.waits_at),
            (None, Some(inode(&listener)))
        );
        assert_eq!(of(&snapshot, &listener).recv_queue, Some(1));
        let pair = snapshot
            .connections()
            .find(|pair| pair.client.inode == waiting.inode)
            .unwrap();
        assert_eq!(pair.server.inode, inode(&listener));

        drop(listener);
        let gone = of(&self::snapshot(), &client);
        assert_eq!((gone.state, gone.waits_at), (SocketState::Closed, None));
    }
}

#[test]
fn what_has_lost_its_other_end_is_closed() {
    let (left, right) = UnixStream::pair().unwrap();
    assert_eq!(of(&snapshot(), &left).state, SocketState::Connected);
    left.shutdown(std::net::Shutdown::Write).unwrap();
    let half = of(&snapshot(), &left);
    assert_eq!((half.shut_read, half.shut_write), (Some(false), Some(true)));
    drop(right);
    let socket = of(&snapshot(), &left);
    assert_eq!((socket.state, socket.peer), (SocketState::Closed, None));
}

#[test]
fn datagram_sockets_have_states_of_their_own() {
    let place = Place::new();
    let server = UnixDatagram::bind(place.socket()).unwrap();
    let client = UnixDatagram::unbound().unwrap();
    assert_eq!(of(&snapshot(), &client).state, SocketState::Unconnected);
    client.connect(place.socket()).unwrap();
    client.send(b"one").unwrap();
    let snapshot = snapshot();
    assert_eq!(of(&snapshot, &server).state, SocketState::Bound);
    let socket = of(&snapshot, &client);
    assert_eq!(socket.state, SocketState::Connected);
    assert_eq!(socket.peer, Some(inode(&server)));
    let pair = snapshot
        .connections()
        .find(|pair| pair.client.inode == socket.inode)
        .unwrap();
    assert_eq!(pair.server.inode, inode(&server));
    assert_eq!(pair.server.kind, Kind::Datagram);
}

#[test]
fn an_abstract_name_may_hold_any_bytes() {
    let place = Place::new();
    let mut name = place.socket().into_os_string().into_encoded_bytes();
    name.extend_from_slice(b"\0\xff");
    let name = sockeye::Name::Abstract(name);
    let address = Address::new(Kind::Stream, &name).unwrap();
    let claim = Claim::options().claim(&address).unwrap();
    let snapshot = snapshot();
    assert_eq!(inodes(&snapshot.select(&address)), [inode(&claim)]);
    let socket = of(&snapshot, &claim);
    let sockeye::Name::Abstract(name) = name else {
        unreachable!("it was made as one")
    };
    assert_eq!(socket.name, Some(BoundName::Abstract(name)));
    assert_eq!(socket.file, None);
}

#[test]
fn every_name_of_a_file_leads_to_its_socket() {
    let place = Place::new();
    let path = place.at("with space\nand newline");
    let listener = UnixListener::bind(&path).unwrap();
    let here = [(inode(&listener), Some(FileState::Present))];
    assert_eq!(select(&path), here);
    symlink(&path, place.at("link")).unwrap();
    assert_eq!(select(&place.at("link")), here);
    fs::hard_link(&path, place.at("hard")).unwrap();
    assert_eq!(select(&place.at("hard")), here);
    fs::rename(&path, place.at("new")).unwrap();
    assert_eq!(select(&place.at("new")), here);
    assert_eq!(select(&path), here, "bound there once");
    assert_eq!(select(&place.at("other")), []);
}

#[test]
fn a_path_taken_over_shows_both_owners() {
    let place = Place::new();
    let old = UnixListener::bind(place.socket()).unwrap();
    fs::remove_file(place.socket()).unwrap();
    let removed = (inode(&old), Some(FileState::Removed));
    assert_eq!(select(&place.socket()), [removed]);
    let new = UnixListener::bind(place.socket()).unwrap();
    let mut both = [
        (inode(&old), Some(FileState::Replaced)),
        (inode(&new), Some(FileState::Present)),
    ];
    both.sort_unstable_by_key(|&(inode, _)| inode);
    assert_eq!(select(&place.socket()), both);
}

#[test]
fn a_relative_name_is_placed_by_whoever_holds_it_or_by_the_kernel() {
    let place = Place::new();
    // In a thread with a directory of its own: that of the process leads nowhere near.
    let listener = in_own_directory(place.dir(), || UnixListener::bind("app.sock").unwrap());
    let state = is_root().then_some(FileState::Present);
    assert_eq!(select(&place.socket()), [(inode(&listener), state)]);
    fs::remove_file(place.socket()).unwrap();
    let socket = of(&snapshot(), &listener);
    assert_eq!(socket.file.unwrap().state, None, "unknown, not removed");
}

#[test]
fn a_closed_socket_is_not_there() -> io::Result<()> {
    let (left, _right) = UnixStream::pair()?;
    let number = inode(&left);
    assert!(snapshot().by_inode(number).is_some());
    drop(left);
    assert!(snapshot().by_inode(number).is_none());
    Ok(())
}
