//! Sockets on a runtime.

use std::os::fd::OwnedFd;

use rustix::net::Shutdown;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::packet::{BlockingSeqPacket, BlockingSeqPacketListener};
use sockeye::{Claim, Connector, Datagram, Kind, Listener, SeqPacket, SeqPacketListener};

use super::{direct_pair, directly, largest, orders, records, send_all};
use crate::support::serving::{Clock, in_time, settled};
use crate::support::{Place, connected, is_close_on_exec, is_nonblocking};

async fn received(socket: &SeqPacket) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    let mut all = Vec::new();
    while let Some(size) = in_time(socket.recv(&mut buffer)).await.unwrap() {
        all.push(buffer[..size].to_vec());
    }
    all
}

fn listener(place: &Place) -> SeqPacketListener {
    let address = place.address_of(Kind::SeqPacket);
    SeqPacketListener::from_claim(Claim::options().claim(&address).unwrap()).unwrap()
}

#[tokio::test]
async fn seqpacket_records_of_all_sizes_come_as_they_were_sent() {
    let records = records(Kind::SeqPacket);
    let place = Place::new();
    let listener = listener(&place);
    let address = place.address_of(Kind::SeqPacket);
    let client = Connector::new().connect_seqpacket(&address).await.unwrap();
    let server = listener.accept().await.unwrap();
    let send = async {
        for record in &records {
            client.send(record).await.unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
    };
    let ((), came) = tokio::join!(send, received(&server));
    assert!(came == records);
    assert!(came == directly(Kind::SeqPacket, &records));
    server.send(b"and back").await.unwrap();
    drop(server);
    assert_eq!(received(&client).await, [b"and back"]);
}

#[tokio::test]
async fn datagrams_of_all_sizes_come_as_they_were_sent() {
    let records = records(Kind::Datagram);
    let place = Place::new();
    let address = place.address_of(Kind::Datagram);
    let server = Datagram::from_claim(Claim::options().claim(&address).unwrap()).unwrap();
    let client = Datagram::unclaimed().unwrap();
    let send = async {
        Connector::new()
            .connect_datagram(&client, &address)
            .await
            .unwrap();
        for record in &records {
            client.send_msg(record, &[]).await.unwrap();
        }
    };
    let receive = async {
        let mut came = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        for _ in &records {
            let received = server.recv_msg(&mut buffer).await.unwrap();
            came.push(buffer[..received.bytes].to_vec());
        }
        came
    };
    let ((), came) = in_time(async { tokio::join!(send, receive) }).await;
    assert!(came == records);
    assert!(came == directly(Kind::Datagram, &records));
}

#[tokio::test]
async fn an_empty_record_is_not_the_end() {
    for order in orders() {
        let (left, right) = SeqPacket::pair().unwrap();
        send_all(&left, &order);
        drop(left);
        assert_eq!(received(&right).await, order);
        assert_eq!(right.recv(&mut [0]).await.unwrap(), None, "and it stays so");
    }
}

/// The kernel is asked to mark records only after they have come.
#[tokio::test]
async fn an_empty_record_from_before_is_not_the_end() {
    for order in orders() {
        let (left, right) = direct_pair(Kind::SeqPacket);
        send_all(&left, &order);
        drop(left);
        let right = SeqPacket::adopt(right).unwrap();
        assert_eq!(received(&right).await, order, "adopted");

        let place = Place::new();
        let listener = listener(&place);
        for is_waiting in [true, false] {
            let client = connected(Kind::SeqPacket, &place.socket());
            send_all(&client, &order);
            drop(client);
            let accepted = if is_waiting {
                listener.try_accept().unwrap().unwrap()
            } else {
                listener.accept().await.unwrap()
            };
            assert_eq!(received(&accepted).await, order, "accepted");
        }
    }
}

#[tokio::test]
async fn an_empty_datagram_is_not_the_end() {
    for order in orders() {
        let (left, right) = direct_pair(Kind::Datagram);
        send_all(&left, &order);
        let right = Datagram::adopt(right).unwrap();
        right.refuse_new_clients().unwrap();
        send_all(&left, &[b"an adopted one is not shut down"]);
        let mut buffer = [0; 64];
        for record in &order {
            let received = right.try_recv(&mut buffer).unwrap().unwrap();
            assert_eq!(&buffer[..received.bytes], *record);
        }
        assert_eq!(
            in_time(right.recv_msg(&mut buffer)).await.unwrap().bytes,
            31
        );
        assert!(right.try_recv(&mut buffer).unwrap().is_none());
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_size_and_the_next_record_comes() {
    let (left, right) = SeqPacket::pair().unwrap();
    let mut buffer = [0; 10];
    for size in [11, 8193, 100_000] {
        send_all(&left, &[&vec![1; size], &[2; 10]]);
        let error = right.recv(&mut buffer).await.unwrap_err();
        let RecvError::TooLong { size: told, limit } = error else {
            panic!("{error}");
        };
        assert_eq!((told, limit), (size, 10));
        assert_eq!(right.recv(&mut buffer).await.unwrap(), Some(10));
        assert_eq!(buffer, [2; 10]);
    }
    let (left, right) = Datagram::pair().unwrap();
    send_all(&left, &[&[1; 100_000], b"next", &[1; 11], b"last"]);
    let error = right.recv_msg(&mut buffer).await.unwrap_err();
    assert!(matches!(
        error,
        RecvError::TooLong {
            size: 100_000,
            limit: 10
        }
    ));
    assert_eq!(right.recv_msg(&mut buffer).await.unwrap().bytes, 4);
    let error = right.try_recv(&mut buffer).unwrap_err();
    assert!(matches!(
        error,
        RecvError::TooLong {
            size: 11,
            limit: 10
        }
    ));
    assert_eq!(right.try_recv(&mut buffer).unwrap().unwrap().bytes, 4);
}

#[tokio::test]
async fn what_the_kernel_does_not_take_is_an_error_before_it_is_sent() {
    let record = vec![0; largest(Kind::SeqPacket) + 1];
    let (left, right) = SeqPacket::pair().unwrap();
    let error = left.send(&record).await.unwrap_err();
    assert!(matches!(error, SendError::TooLong { size, .. } if size == record.len()));
    drop(left);
    assert_eq!(right.recv(&mut [0]).await.unwrap(), None);
    let (left, right) = Datagram::pair().unwrap();
    let error = left.send_msg(&record, &[]).await.unwrap_err();
    assert!(matches!(error, SendError::TooLong { size, .. } if size == record.len()));
    assert!(right.try_recv(&mut [0]).unwrap().is_none());
}

/// A record goes whole or not at all, also where the reader is slow.
#[tokio::test]
async fn a_sender_waits_for_room_and_a_dropped_one_has_sent_nothing() {
    let (left, right) = SeqPacket::pair().unwrap();
    let record = vec![7; 50_000];
    let mut sent = 0;
    while tokio::time::timeout(std::time::Duration::ZERO, left.send(&record))
        .await
        .is_ok()
    {
        sent += 1;
    }
    assert!(sent > 0);
    let waiting = tokio::spawn(async move { left.send(b"last").await });
    settled().await;
    assert!(!waiting.is_finished());
    let came = received(&right).await;
    in_time(waiting).await.unwrap().unwrap();
    assert_eq!(came.len(), sent + 1);
    assert!(came[..sent].iter().all(|came| *came == record));
    assert_eq!(came[sent], b"last");
}

#[tokio::test]
async fn a_dropped_receiver_loses_nothing() {
    let (left, right) = SeqPacket::pair().unwrap();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        let wait = right.recv(&mut buffer);
        tokio::time::timeout(std::time::Duration::ZERO, wait)
            .await
            .unwrap_err();
    }
    send_all(&left, &[b"x"]);
    assert_eq!(in_time(right.recv(&mut buffer)).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_socket_goes_between_blocking_and_asynchronous() {
    let (left, right) = SeqPacket::pair().unwrap();
    assert!(is_nonblocking(&right) && is_close_on_exec(&right));
    let right: BlockingSeqPacket = right.into_blocking().unwrap();
    assert!(!is_nonblocking(&right));
    send_all(&left, &[b""]);
    assert_eq!(right.recv(&mut [0]).unwrap(), Some(0));
    assert_eq!(right.peer().unwrap(), left.peer().unwrap());
}

#[tokio::test]
async fn a_claim_of_another_kind_is_not_taken() {
    let claim = |kind| {
        let place = Place::new();
        let claim = Claim::options().claim(&place.address_of(kind)).unwrap();
        (place, claim)
    };
    let unsupported = |error: std::io::Error| error.kind() == std::io::ErrorKind::Unsupported;
    for kind in [Kind::Stream, Kind::Datagram] {
        let (place, theirs) = claim(kind);
        assert!(unsupported(
            SeqPacketListener::from_claim(theirs).unwrap_err()
        ));
        place.assert_empty();
        let (place, theirs) = claim(kind);
        assert!(unsupported(
            BlockingSeqPacketListener::from_claim(theirs).unwrap_err()
        ));
        place.assert_empty();
    }
    for kind in [Kind::SeqPacket, Kind::Datagram] {
        let (place, theirs) = claim(kind);
        assert!(unsupported(Listener::from_claim(theirs).unwrap_err()));
        place.assert_empty();
    }
    for kind in [Kind::Stream, Kind::SeqPacket] {
        let (place, theirs) = claim(kind);
        assert!(unsupported(Datagram::from_claim(theirs).unwrap_err()));
        place.assert_empty();
    }
}

/// With the clock stopped nothing but readiness can wake the accepting task.
#[tokio::test]
async fn refusing_new_clients_ends_the_accepting_of_seqpacket_connections() {
    let place = Place::new();
    let _clock = Clock::stop();
    let mut listener = listener(&place);
    let path = place.socket();
    let waiting: OwnedFd = connected(Kind::SeqPacket, &path);
    listener.refuse_new_clients().unwrap();
    assert!(!path.exists());
    send_all(&waiting, &[b"x"]);
    let accepted = in_time(listener.accept()).await.unwrap();
    assert_eq!(in_time(accepted.recv(&mut [0])).await.unwrap(), Some(1));
    let error = in_time(listener.accept()).await.unwrap_err();
    assert_eq!(
        rustix::io::Errno::from_io_error(&error),
        Some(rustix::io::Errno::INVAL)
    );
}
