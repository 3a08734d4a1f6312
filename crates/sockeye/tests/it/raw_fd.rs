//! What has a descriptor tells its number, and connected sockets are turned into one. A panic that is
//! caught spoils no socket.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::ptr;

use sockeye::{
    BlockingDatagram, BlockingSeqPacket, BlockingSeqPacketListener, Claim, Connection, Datagram,
    Kind, Listener, Messages, SeqPacket, Server, Stream,
};
use tokio::io::AsyncWriteExt;

use crate::support::Place;
use crate::support::serving::{Client, Running, claimed, counted};

#[track_caller]
fn assert_number(socket: &(impl AsFd + AsRawFd)) {
    assert_eq!(socket.as_raw_fd(), socket.as_fd().as_raw_fd());
}

#[tokio::test]
async fn sockets_are_used_again_after_a_panic_with_them() {
    fn panic_with<T: UnwindSafe + RefUnwindSafe>(socket: &T) {
        catch_unwind(|| panic!("with {:p}", ptr::from_ref(socket))).unwrap_err();
    }
    let place = Place::new();
    let listener = claimed(&place.address());
    panic_with(&listener);
    let datagrams = Datagram::pair().unwrap();
    panic_with(&datagrams);
    panic_with(&SeqPacket::pair().unwrap());
    let (stream, peer) = Stream::pair().unwrap();
    panic_with(&stream);
    let (reader, writer) = stream.into_split();
    panic_with(&(&reader, &writer));
    writer.try_write(b"x").unwrap();
    assert_eq!(peer.try_read(&mut [0]).unwrap(), 1);
    datagrams.0.try_send_msg(b"x", &[]).unwrap();
    assert!(datagrams.1.is_readable().unwrap());
}

#[tokio::test]
async fn sockets_tell_the_number_of_their_descriptor() {
    let place = Place::new();
    let claim = |kind| Claim::options().claim(&place.address_of(kind)).unwrap();
    assert_number(&claim(Kind::Stream));
    assert_number(&claim(Kind::Stream).into_blocking().unwrap());
    assert_number(&Listener::from_claim(claim(Kind::Stream)).unwrap());
    assert_number(&BlockingSeqPacketListener::from_claim(claim(Kind::SeqPacket)).unwrap());
    assert_number(&BlockingDatagram::pair().unwrap().0);
    assert_number(&BlockingSeqPacket::pair().unwrap().0);
    assert_number(&Datagram::pair().unwrap().0);
    assert_number(&SeqPacket::pair().unwrap().0);
    let (left, _right) = UnixStream::pair().unwrap();
    let stream = Stream::from_std(left).unwrap();
    assert_number(&stream);
    let (read, write) = stream.into_split();
    assert_number(&read);
    assert_number(&write);
}

#[tokio::test]
async fn a_connection_tells_the_number_of_its_descriptor() {
    let place = Place::new();
    let handler = |connection: Connection| async {
        assert_number(&connection);
        drop(Messages::new(connection, sockeye::Framing::Line, 1));
    };
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

#[tokio::test]
async fn a_stream_is_turned_into_its_descriptor() {
    let (left, mut right) = UnixStream::pair().unwrap();
    let mut stream = Stream::from_std(left).unwrap();
    stream.write_all(b"x").await.unwrap();
    let number = stream.as_raw_fd();
    let fd = OwnedFd::from(stream);
    assert_eq!(fd.as_raw_fd(), number);
    drop(fd);
    let mut received = String::new();
    right.read_to_string(&mut received).unwrap();
    assert_eq!(received, "x");

    let (left, right) = SeqPacket::pair().unwrap();
    let number = left.as_raw_fd();
    let left = OwnedFd::from(left);
    assert_eq!(left.as_raw_fd(), number);
    drop(left);
    assert_eq!(right.recv(&mut [0]).await.unwrap(), None);
}
