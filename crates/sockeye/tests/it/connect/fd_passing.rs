//! Whether the server may pass fds to a client ([`Connector::allow_fd_passing`]).

use std::os::fd::{AsFd, BorrowedFd};
#[cfg(feature = "tokio")]
use std::os::{fd::AsRawFd, unix::net::UnixStream};

use sockeye::ancillary::{SendError, passes_descriptors};
use sockeye::{Address, BlockingSeqPacketListener, Claim, Connector, Kind, Name, send_msg};

use crate::support::{Place, skipped};

fn address_of(place: &Place, kind: Kind) -> Address {
    let name = Name::Path(place.at("app.sock"));
    Address::new(kind, &name).unwrap()
}

/// Whether the server at the other end gets `EPERM`.
fn is_refused(server: impl AsFd) -> bool {
    let file = std::fs::File::open("/dev/null").unwrap();
    match send_msg(server, b"x", &[file.as_fd()]) {
        Ok(()) => false,
        Err(SendError::DescriptorsRefused) => true,
        Err(error) => panic!("{error}"),
    }
}

fn assert_setting(client: BorrowedFd<'_>, server: BorrowedFd<'_>, allows: bool) {
    if !allows && passes_descriptors(client).unwrap() {
        skipped("this kernel cannot refuse fds");
        return;
    }
    assert_eq!(passes_descriptors(client).unwrap(), allows);
    assert_eq!(is_refused(server), !allows);
}

#[test]
fn a_blocking_client_refuses_fds_if_told_to() {
    for allows in [true, false] {
        let connector = Connector::new().allow_fd_passing(allows);
        let place = Place::new();
        let address = address_of(&place, Kind::Stream);
        let listener = Claim::options().claim(&address).unwrap();
        let listener = listener.into_blocking().unwrap();
        let client = connector.connect_blocking(&address).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_setting(client.as_fd(), server.as_fd(), allows);

        let place = Place::new();
        let address = address_of(&place, Kind::SeqPacket);
        let claim = Claim::options().claim(&address).unwrap();
        let listener = BlockingSeqPacketListener::from_claim(claim).unwrap();
        let client = connector.connect_seqpacket_blocking(&address).unwrap();
        let server = listener.accept().unwrap();
        assert_setting(client.as_fd(), server.as_fd(), allows);
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_client_on_tokio_refuses_fds_if_told_to() {
    use sockeye::{Listener, SeqPacketListener};
    for allows in [true, false] {
        let connector = Connector::new().allow_fd_passing(allows);
        let place = Place::new();
        let address = address_of(&place, Kind::Stream);
        let listener = Listener::open(&address, &Claim::options()).unwrap();
        let mut client = connector.connect(&address).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        assert_setting(client.as_fd(), server.as_fd(), allows);
        server.send_msg(b"bytes", &[]).await.unwrap();
        let mut buffer = [0; 10];
        let received = client.recv_msg(&mut buffer).await.unwrap().unwrap();
        assert_eq!(received.descriptors.len(), usize::from(allows));

        let place = Place::new();
        let address = address_of(&place, Kind::SeqPacket);
        let listener = SeqPacketListener::open(&address, &Claim::options()).unwrap();
        let client = connector.connect_seqpacket(&address).await.unwrap();
        let server = listener.accept().await.unwrap();
        assert_setting(client.as_fd(), server.as_fd(), allows);
        server.send(b"record").await.unwrap();
        let received = client.recv_msg(&mut buffer).await.unwrap().unwrap();
        assert_eq!(received.descriptors.len(), usize::from(allows));
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn fds_that_are_queued_at_an_inherited_socket_are_closed() {
    let (client, server) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    send_msg(&server, b"early", &[file.as_fd()]).unwrap();
    let address: Address = format!("fd:{}", client.as_raw_fd()).parse().unwrap();
    let connector = Connector::new().allow_fd_passing(false);
    let mut stream = connector.connect(&address).await.unwrap();
    assert_setting(stream.as_fd(), server.as_fd(), false);
    let mut buffer = [0; 10];
    let received = stream.recv_msg(&mut buffer).await.unwrap().unwrap();
    assert_eq!(&buffer[..received.bytes], b"early");
    assert!(received.descriptors.is_empty());
}
