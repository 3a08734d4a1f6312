//! Adopting and releasing descriptors: [`Listener`] and [`Stream`].

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sockeye::adopt::AdoptError;
use sockeye::{Claim, Connector, Kind, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Place, bound, is_close_on_exec, is_nonblocking, listening};

/// As a descriptor comes through exec: neither close-on-exec nor non-blocking.
fn inherited(fd: impl Into<OwnedFd>) -> OwnedFd {
    let fd = fd.into();
    fcntl_setfd(&fd, FdFlags::empty()).unwrap();
    rustix::io::ioctl_fionbio(&fd, false).unwrap();
    fd
}

/// A descriptor and another one of the same.
fn twice(fd: impl AsFd) -> (OwnedFd, OwnedFd) {
    let other = fd.as_fd().try_clone_to_owned().unwrap();
    (fd.as_fd().try_clone_to_owned().unwrap(), other)
}

#[tokio::test]
async fn a_listener_is_adopted_and_given_back() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (fd, other) = twice(&listener);
    let adopted = Listener::adopt(inherited(fd)).unwrap();
    assert!(is_close_on_exec(&adopted));
    assert!(is_nonblocking(&adopted));
    let client = UnixStream::connect(place.socket()).unwrap();
    let server = adopted.accept().await.unwrap();
    assert!(is_close_on_exec(&server));
    assert!(is_nonblocking(&server));
    drop((client, server));

    let blocking = adopted.into_blocking().unwrap();
    assert!(!is_nonblocking(&*blocking));
    let std = blocking.into_std().unwrap();
    let _client = UnixStream::connect(place.socket()).unwrap();
    std.accept().unwrap();

    // It was never ours: closed by us, it goes on.
    let adopted = Listener::from_std(std).unwrap();
    drop(adopted);
    assert_eq!(place.names(), ["app.sock"]);
    let _client = UnixStream::connect(place.socket()).unwrap();
    UnixListener::from(other).set_nonblocking(true).unwrap();
    listener.accept().unwrap();
}

#[tokio::test]
async fn what_is_no_listener_is_not_adopted() {
    let place = Place::new();
    let (left, _right) = UnixStream::pair().unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let packets = listening(Kind::SeqPacket, &place.at("packets"), 1);
    let datagrams = UnixDatagram::bind(place.at("datagrams")).unwrap();
    let fresh = bound(Kind::Stream, &place.at("fresh"));
    let file = std::fs::File::create(place.at("file")).unwrap();
    let refused = |fd: OwnedFd| Listener::adopt(fd).unwrap_err();
    assert!(matches!(refused(tcp.into()), AdoptError::NotUnix));
    assert!(matches!(refused(pipe.into()), AdoptError::NotASocket));
    assert!(matches!(refused(file.into()), AdoptError::NotASocket));
    assert!(matches!(refused(packets), AdoptError::WrongKind { .. }));
    assert!(matches!(
        refused(datagrams.into()),
        AdoptError::WrongKind { .. }
    ));
    assert!(matches!(refused(fresh), AdoptError::NotListening));
    assert!(matches!(refused(left.into()), AdoptError::NotListening));
}

#[tokio::test]
async fn what_is_no_connection_is_not_adopted() {
    let place = Place::new();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let (packets, _other) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    let fresh = bound(Kind::Stream, &place.at("fresh"));
    let listener = listening(Kind::Stream, &place.socket(), 1);
    let refused = |fd: OwnedFd| Stream::adopt(fd).unwrap_err();
    assert!(matches!(refused(tcp.into()), AdoptError::NotUnix));
    assert!(matches!(refused(pipe.into()), AdoptError::NotASocket));
    assert!(matches!(refused(packets), AdoptError::WrongKind { .. }));
    assert!(matches!(
        refused(datagrams.into()),
        AdoptError::WrongKind { .. }
    ));
    assert!(matches!(refused(fresh), AdoptError::NotConnected));
    assert!(matches!(refused(listener), AdoptError::Listening));
}

/// Whoever shares a descriptor that was refused goes on with it as it was.
#[tokio::test]
async fn a_refused_descriptor_is_left_as_it_was() {
    let (left, _right) = UnixStream::pair().unwrap();
    let (fd, other) = twice(&left);
    Listener::adopt(fd).unwrap_err();
    assert!(!is_nonblocking(&other));
    let place = Place::new();
    let listener = listening(Kind::Stream, &place.socket(), 1);
    let (fd, other) = twice(&listener);
    Stream::adopt(fd).unwrap_err();
    assert!(!is_nonblocking(&other));
}

#[tokio::test]
async fn a_stream_is_adopted_and_given_back() {
    let (left, right) = UnixStream::pair().unwrap();
    let mut adopted = Stream::adopt(inherited(left)).unwrap();
    assert!(is_close_on_exec(&adopted));
    assert!(is_nonblocking(&adopted));
    let mut other = Stream::from_std(right).unwrap();
    adopted.write_all(b"hello").await.unwrap();
    let mut text = [0; 5];
    other.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello");

    let mut left = adopted.into_std().unwrap();
    let mut right = other.into_std().unwrap();
    assert!(!is_nonblocking(&left));
    right.write_all(b"back").unwrap();
    drop(right);
    let mut text = String::new();
    left.read_to_string(&mut text).unwrap();
    assert_eq!(text, "back");
}

#[tokio::test]
async fn a_stream_whose_peer_has_gone_is_still_a_connection() {
    let (left, mut right) = UnixStream::pair().unwrap();
    right.write_all(b"last words").unwrap();
    drop(right);
    let mut stream = Stream::from_std(left).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "last words");
}

#[tokio::test]
async fn a_claimed_listener_keeps_its_address_on_the_way_back() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let listener = Listener::from_claim(claim).unwrap();
    assert!(is_nonblocking(&listener));
    assert!(is_close_on_exec(&listener));
    let _client = Connector::new().connect(&place.address()).await.unwrap();
    listener.accept().await.unwrap();

    let blocking = listener.into_blocking().unwrap();
    assert_eq!(place.names(), ["app.sock", "app.sock.lock"]);
    let _client = UnixStream::connect(place.socket()).unwrap();
    blocking.accept().unwrap();
    let kept = blocking.into_std().unwrap_err();
    drop(kept);
    place.assert_empty();
}

#[tokio::test]
async fn a_claimed_listener_releases_its_address() {
    let place = Place::new();
    for _ in 0..3 {
        let claim = Claim::options().claim(&place.address()).unwrap();
        let listener = Listener::from_claim(claim).unwrap();
        UnixStream::connect(place.socket()).unwrap();
        drop(listener);
        place.assert_empty();
    }
    let claim = Claim::options()
        .claim(&place.address_of(Kind::SeqPacket))
        .unwrap();
    let error = Listener::from_claim(claim).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    place.assert_empty();
}

#[tokio::test]
async fn what_waits_is_accepted_without_waiting() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let mut listener = Listener::from_claim(claim).unwrap();
    assert!(listener.try_accept().unwrap().is_none());
    let _one = UnixStream::connect(place.socket()).unwrap();
    let two = UnixStream::connect(place.socket()).unwrap();
    listener.refuse_new_clients().unwrap();
    assert_eq!(place.names(), ["app.sock.lock"], "still ours");
    assert!(listener.try_accept().unwrap().is_some());
    drop(two);
    assert!(listener.try_accept().unwrap().is_some());
    assert!(listener.try_accept().unwrap().is_none());
    listener.refuse_new_clients().unwrap();
    drop(listener);
    place.assert_empty();
}

#[tokio::test]
async fn an_adopted_listener_refuses_nobody() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (fd, _) = twice(&listener);
    let mut adopted = Listener::adopt(fd).unwrap();
    adopted.refuse_new_clients().unwrap();
    let _client = UnixStream::connect(place.socket()).unwrap();
    listener.accept().unwrap();
}
