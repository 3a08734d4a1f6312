//! Messages without a connection: queues, senders, and the end.

use std::os::fd::AsFd;
use std::time::Duration;

use sockeye::ancillary::{RecvError, SendError};
use sockeye::packet::BlockingDatagram;
use sockeye::{Address, Claim, ConnectError, Connector, Datagram, Kind, Name};

use super::send_all;
use crate::support::serving::{Clock, MILLISECOND, in_time, settled};
use crate::support::{Place, connected};

fn claimed(address: &Address) -> Datagram {
    Datagram::from_claim(Claim::options().claim(address).unwrap()).unwrap()
}

async fn client_of(address: &Address) -> Datagram {
    let client = Datagram::unclaimed().unwrap();
    connect(&client, address).await.unwrap();
    client
}

async fn connect(client: &Datagram, address: &Address) -> Result<(), ConnectError> {
    in_time(Connector::new().connect_datagram(client, address)).await
}

/// Sends until the receiver's queue has no room.
async fn fill(client: &mut Datagram) -> usize {
    client.set_send_timeout(Duration::ZERO);
    for count in 0.. {
        match client.send_msg(b"x", &[]).await {
            Ok(()) => {}
            Err(SendError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                return count;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_full_queue_is_waited_for_until_the_deadline() {
    let place = Place::new();
    let address = place.address_of(Kind::Datagram);
    let clock = Clock::stop();
    let server = claimed(&address);
    let mut client = client_of(&address).await;
    let waiting = fill(&mut client).await;
    client.set_send_timeout(Duration::from_secs(5));
    let send = tokio::spawn(async move { client.send_msg(b"late", &[]).await });
    clock.pass(Duration::from_secs(5) - MILLISECOND).await;
    assert!(!send.is_finished());
    clock.pass(2 * MILLISECOND).await;
    assert!(send.is_finished());
    let SendError::Io(error) = send.await.unwrap().unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    for _ in 0..waiting {
        assert_eq!(server.try_recv(&mut [0; 9]).unwrap().unwrap().bytes, 1);
    }
    assert!(server.try_recv(&mut [0; 9]).unwrap().is_none(), "not sent");
}

#[tokio::test]
async fn a_sender_goes_on_when_there_is_room() {
    let place = Place::new();
    let address = place.address_of(Kind::Datagram);
    let clock = Clock::stop();
    let server = claimed(&address);
    let mut client = client_of(&address).await;
    let waiting = fill(&mut client).await;
    client.set_send_timeout(Duration::from_secs(5));
    let send = tokio::spawn(async move { client.send_msg(b"late", &[]).await });
    // Pauses that went on doubling would have one of a second now.
    for _ in 0..110 {
        clock.pass(Duration::from_millis(10)).await;
    }
    assert!(!send.is_finished());
    server.try_recv(&mut [0; 9]).unwrap().unwrap();
    clock.pass(Duration::from_millis(21)).await;
    assert!(send.is_finished(), "after one more pause at most");
    send.await.unwrap().unwrap();
    for _ in 1..waiting {
        assert_eq!(server.try_recv(&mut [0; 9]).unwrap().unwrap().bytes, 1);
    }
    assert_eq!(server.try_recv(&mut [0; 9]).unwrap().unwrap().bytes, 4);
}

#[tokio::test]
async fn a_full_queue_is_reported_at_once_to_who_does_not_wait() {
    let place = Place::new();
    let address = place.address_of(Kind::Datagram);
    let server = claimed(&address);
    let client = client_of(&address).await;
    let error = loop {
        if let Err(error) = client.try_send_msg(b"x", &[]) {
            break std::io::Error::from(error);
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    server.try_recv(&mut [0; 9]).unwrap().unwrap();
    client.try_send_msg(b"there is room", &[]).unwrap();
    while server.try_recv(&mut [0; 99]).unwrap().is_some() {}

    let to = rustix::net::SocketAddrUnix::new(place.socket()).unwrap();
    let sender = Datagram::unclaimed().unwrap();
    sender.try_send_msg_to(b"question", &[], &to).unwrap();
    let received = in_time(server.recv_msg(&mut [0; 9])).await.unwrap();
    let back = received.sender.unwrap();
    let stdin = std::io::stdin();
    server
        .try_send_msg_to(b"answer", &[stdin.as_fd()], &back)
        .unwrap();
    let answer = sender.try_recv(&mut [0; 9]).unwrap().unwrap();
    assert_eq!((answer.bytes, answer.descriptors.len()), (6, 1));
    let error = loop {
        if let Err(error) = server.try_send_msg_to(b"answer", &[], &back) {
            break std::io::Error::from(error);
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    client.try_send_msg(b"another", &[]).unwrap();
}

/// A pair has no queue that others share; its bound is the sender's buffer.
#[tokio::test]
async fn a_full_send_buffer_is_waited_for_too() {
    let clock = Clock::stop();
    let (mut left, right) = Datagram::pair().unwrap();
    fill(&mut left).await;
    left.set_send_timeout(Duration::from_secs(5));
    let send = tokio::spawn(async move { left.send_msg(b"late", &[]).await });
    clock.pass(Duration::from_secs(1)).await;
    assert!(!send.is_finished());
    while right.try_recv(&mut [0; 9]).unwrap().is_some() {}
    clock.pass(Duration::from_millis(21)).await;
    send.await.unwrap().unwrap();
    assert_eq!(right.try_recv(&mut [0; 9]).unwrap().unwrap().bytes, 4);
}

#[tokio::test]
async fn a_blocking_sender_has_a_deadline_if_it_wants_one() {
    let place = Place::new();
    let address = place.address_of(Kind::Datagram);
    let _server = claimed(&address);
    let client = BlockingDatagram::unclaimed().unwrap();
    let connector = Connector::new();
    connector
        .connect_datagram_blocking(&client, &address)
        .unwrap();
    client.set_send_timeout(Some(MILLISECOND)).unwrap();
    let error = loop {
        if let Err(error) = client.send_msg(b"x", &[]) {
            break std::io::Error::from(error);
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn whoever_has_an_address_is_answered() {
    let place = Place::new();
    for address in [
        place.address_of(Kind::Datagram),
        place.abstract_address(Kind::Datagram),
    ] {
        let server = claimed(&address);
        let path = Address::new(Kind::Datagram, &Name::Path(place.at("client.sock"))).unwrap();
        // As long as a name can be; there is no room for a NUL behind it.
        let long = place.at("n".repeat(107 - place.dir().as_os_str().len()));
        assert_eq!(long.as_os_str().len(), 108);
        let longest = Datagram::adopt(crate::support::bound(Kind::Datagram, &long)).unwrap();
        for client in [Datagram::unclaimed().unwrap(), claimed(&path), longest] {
            connect(&client, &address).await.unwrap();
            client.send_msg(b"question", &[]).await.unwrap();
            let mut buffer = [0; 64];
            let received = in_time(server.recv_msg(&mut buffer)).await.unwrap();
            assert_eq!(&buffer[..received.bytes], b"question");
            let sender = received.sender.unwrap();
            server.send_msg_to(b"answer", &[], &sender).await.unwrap();
            let received = in_time(client.recv_msg(&mut buffer)).await.unwrap();
            assert_eq!(&buffer[..received.bytes], b"answer");
        }
        std::fs::remove_file(long).unwrap();
    }
}

#[tokio::test]
async fn whoever_has_none_is_not_known() {
    let place = Place::new();
    let server = claimed(&place.address_of(Kind::Datagram));
    send_all(connected(Kind::Datagram, &place.socket()), &[b"x"]);
    let received = server.recv_msg(&mut [0]).await.unwrap();
    assert_eq!(received.sender, None);
    assert!(received.credentials.is_none(), "nobody has asked");
}

#[tokio::test]
async fn new_clients_are_refused_and_those_in_the_queue_answered() {
    let place = Place::new();
    for address in [
        place.address_of(Kind::Datagram),
        place.abstract_address(Kind::Datagram),
    ] {
        let server = claimed(&address);
        let client = client_of(&address).await;
        client.send_msg(b"one", &[]).await.unwrap();
        client.send_msg(b"", &[]).await.unwrap();
        server.refuse_new_clients().unwrap();
        assert_eq!(
            place.names(),
            match address.path() {
                Some(_) => vec!["app.sock.lock"],
                None => vec![],
            }
        );
        let error = std::io::Error::from(client.send_msg(b"late", &[]).await.unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        let mut buffer = [0; 64];
        for size in [3, 0] {
            let received = in_time(server.recv_msg(&mut buffer)).await.unwrap();
            assert_eq!(received.bytes, size);
            let sender = received.sender.unwrap();
            server.send_msg_to(b"answer", &[], &sender).await.unwrap();
            assert_eq!(
                in_time(client.recv_msg(&mut buffer)).await.unwrap().bytes,
                6
            );
        }
        assert!(server.try_recv(&mut buffer).unwrap().is_none());
        let error = in_time(server.recv_msg(&mut buffer)).await.unwrap_err();
        assert!(
            matches!(&error, RecvError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof),
            "{error}"
        );
        drop(server);
        place.assert_empty();
    }
}

/// Somebody may wait already when the end comes.
#[tokio::test]
async fn a_waiting_receiver_sees_the_end() {
    let (_left, right) = Datagram::pair().unwrap();
    let other = right_of(&right);
    let wait = tokio::spawn(async move { right.recv_msg(&mut [0]).await.map(|_| ()) });
    settled().await;
    assert!(!wait.is_finished());
    rustix::net::shutdown(&other, rustix::net::Shutdown::Read).unwrap();
    in_time(wait).await.unwrap().unwrap_err();
}

fn right_of(socket: &Datagram) -> std::os::fd::OwnedFd {
    use std::os::fd::AsFd;
    socket.as_fd().try_clone_to_owned().unwrap()
}
