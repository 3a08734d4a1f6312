//! Giving an address up.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    connect, recv, send, socket_with,
};
use sockeye::{Claim, Kind};

use crate::support::{PATIENCE, Place, bound, identity, is_close_on_exec};

#[test]
fn a_blocking_listener_accepts_and_releases() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    assert!(is_close_on_exec(&claim));
    let listener = claim.into_blocking().unwrap();
    let mut client = UnixStream::connect(place.socket()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(listener);
    place.assert_empty();
}

#[test]
fn a_dropped_claim_releases() {
    let place = Place::new();
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        drop(Claim::options().claim(&place.address_of(kind)).unwrap());
        place.assert_empty();
    }
}

#[test]
fn a_release_leaves_what_a_stranger_put_at_the_path() {
    let place = Place::new();
    for is_socket in [false, true] {
        let claim = Claim::options().claim(&place.address()).unwrap();
        fs::remove_file(place.socket()).unwrap();
        let stranger = is_socket.then(|| bound(Kind::Stream, &place.socket()));
        if stranger.is_none() {
            fs::write(place.socket(), "data").unwrap();
        }
        let before = identity(&place.socket());
        drop(claim.into_blocking().unwrap());
        assert_eq!(identity(&place.socket()), before);
        assert_eq!(place.names(), ["app.sock"]);
        fs::remove_file(place.socket()).unwrap();
    }
}

#[test]
fn a_release_follows_no_link() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    fs::rename(place.socket(), place.at("moved")).unwrap();
    std::os::unix::fs::symlink(place.at("moved"), place.socket()).unwrap();
    let before = identity(&place.at("moved"));
    drop(claim);
    assert_eq!(place.names(), ["app.sock", "moved"]);
    assert_eq!(identity(&place.at("moved")), before);
}

#[test]
fn a_duplicate_of_the_socket_keeps_no_address() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let socket = claim.as_fd().try_clone_to_owned().unwrap();
    let client = UnixStream::connect(place.socket()).unwrap();
    drop(claim);
    place.assert_empty();
    drop(client);
    drop(Claim::options().claim(&place.address()).unwrap());
    drop(socket);
    place.assert_empty();
}

/// A server without our lock removes a file that refuses, and its own may then get the same inode
/// number; so there must be no moment at which the file is there and its socket is not.
#[test]
fn the_file_never_outlives_its_socket() {
    const ROUNDS: usize = 2000;
    let place = Place::new();
    // Odd while a release goes on.
    let phase = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let outlived = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut outlived = 0;
            while !over.load(Ordering::SeqCst) {
                let began = phase.load(Ordering::SeqCst);
                let before = identity(&place.socket());
                let refused = UnixStream::connect(place.socket())
                    .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
                // The same file before and after, so it was there when it refused.
                let still = before.is_some() && identity(&place.socket()) == before;
                if began % 2 == 1 && refused && still && phase.load(Ordering::SeqCst) == began {
                    outlived += 1;
                }
            }
            outlived
        });
        for _ in 0..ROUNDS {
            let claim = Claim::options().claim(&place.address()).unwrap();
            let listener = claim.into_blocking().unwrap();
            phase.fetch_add(1, Ordering::SeqCst);
            drop(listener);
            phase.fetch_add(1, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        watcher.join().unwrap()
    });
    assert_eq!(outlived, 0);
}

#[test]
fn a_listener_without_its_owner_is_given_away_only_without_a_path() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let kept = claim.into_blocking().unwrap().into_std().unwrap_err();
    UnixStream::connect(place.socket()).unwrap();
    drop(kept);
    place.assert_empty();

    let address = place.abstract_address(Kind::Stream);
    let claim = Claim::options().claim(&address).unwrap();
    let listener = claim.into_blocking().unwrap().into_std().unwrap();
    let client = sockeye::Connector::new()
        .connect_blocking(&address)
        .unwrap();
    listener.accept().unwrap();
    drop(client);
}

#[test]
fn only_a_stream_becomes_a_listener() {
    let place = Place::new();
    for kind in [Kind::SeqPacket, Kind::Datagram] {
        let claim = Claim::options().claim(&place.address_of(kind)).unwrap();
        let error = claim.into_blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        place.assert_empty();
    }
}

#[test]
fn a_seqpacket_claim_listens() {
    let place = Place::new();
    let claim = Claim::options()
        .claim(&place.address_of(Kind::SeqPacket))
        .unwrap();
    let client = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    connect(&client, &SocketAddrUnix::new(place.socket()).unwrap()).unwrap();
    let server: OwnedFd = accept_with(&claim, SocketFlags::CLOEXEC).unwrap();
    send(&client, b"one", SendFlags::empty()).unwrap();
    let mut buffer = [0; 16];
    let (length, _) = recv(&server, &mut buffer[..], RecvFlags::empty()).unwrap();
    assert_eq!(&buffer[..length], b"one");
}

#[test]
fn a_datagram_claim_receives() {
    let place = Place::new();
    let claim = Claim::options()
        .claim(&place.address_of(Kind::Datagram))
        .unwrap();
    let server = UnixDatagram::from(claim.as_fd().try_clone_to_owned().unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"one", place.socket()).unwrap();
    let mut buffer = [0; 16];
    let length = server.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"one");
}
