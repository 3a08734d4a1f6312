//! Sockets that block.

use std::os::fd::OwnedFd;

use rustix::net::Shutdown;
use sockeye::adopt::AdoptError;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::packet::{BlockingDatagram, BlockingSeqPacket, BlockingSeqPacketListener};
use sockeye::{Claim, Kind};

use super::{direct_pair, directly, largest, orders, records, send_all};
use crate::support::{Place, connected, is_close_on_exec};

fn received(socket: &BlockingSeqPacket) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    let mut all = Vec::new();
    while let Some(size) = socket.recv(&mut buffer).unwrap() {
        all.push(buffer[..size].to_vec());
    }
    all
}

#[test]
fn seqpacket_records_of_all_sizes_come_as_they_were_sent() {
    let records = records(Kind::SeqPacket);
    let (left, right) = BlockingSeqPacket::pair().unwrap();
    let came = std::thread::scope(|scope| {
        scope.spawn(|| {
            let left = left;
            for record in &records {
                left.send(record).unwrap();
            }
        });
        received(&right)
    });
    assert!(came == records);
    assert!(came == directly(Kind::SeqPacket, &records));
}

#[test]
fn datagrams_of_all_sizes_come_as_they_were_sent() {
    let records = records(Kind::Datagram);
    let (left, right) = BlockingDatagram::pair().unwrap();
    let came: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for record in &records {
                left.send_msg(record, &[]).unwrap();
            }
        });
        let mut buffer = vec![0; 1 << 20];
        let mut receive = || {
            let received = right.recv_msg(&mut buffer).unwrap().unwrap();
            buffer[..received.bytes].to_vec()
        };
        records.iter().map(|_| receive()).collect()
    });
    assert!(came == records);
    assert!(came == directly(Kind::Datagram, &records));
}

#[test]
fn an_empty_record_is_not_the_end() {
    for order in orders() {
        let (left, right) = BlockingSeqPacket::pair().unwrap();
        send_all(&left, &order);
        drop(left);
        assert_eq!(received(&right), order);
        assert_eq!(right.recv(&mut [0]).unwrap(), None, "and it stays so");
    }
}

/// The kernel is asked to mark records only after they have come.
#[test]
fn an_empty_record_from_before_is_not_the_end() {
    for order in orders() {
        let (left, right) = direct_pair(Kind::SeqPacket);
        send_all(&left, &order);
        drop(left);
        assert_eq!(
            received(&BlockingSeqPacket::adopt(right).unwrap()),
            order,
            "adopted"
        );

        let place = Place::new();
        let address = place.address_of(Kind::SeqPacket);
        let claim = Claim::options().claim(&address).unwrap();
        let listener = BlockingSeqPacketListener::from_claim(claim).unwrap();
        let client = connected(Kind::SeqPacket, &place.socket());
        send_all(&client, &order);
        drop(client);
        assert_eq!(received(&listener.accept().unwrap()), order, "accepted");
    }
}

#[test]
fn an_empty_datagram_is_not_the_end() {
    for order in orders() {
        let (left, right) = direct_pair(Kind::Datagram);
        send_all(&left, &order);
        let right = BlockingDatagram::adopt(right).unwrap();
        rustix::net::shutdown(&right, Shutdown::Read).unwrap();
        let mut came = Vec::new();
        let mut buffer = [0; 8];
        while let Some(received) = right.recv_msg(&mut buffer).unwrap() {
            came.push(buffer[..received.bytes].to_vec());
        }
        assert_eq!(came, order);
    }
}

#[test]
fn what_is_too_long_is_refused_with_its_size_and_the_next_record_comes() {
    let (left, right) = BlockingSeqPacket::pair().unwrap();
    let mut buffer = [0; 10];
    for size in [11, 100, 8193, 100_000] {
        send_all(&left, &[&vec![1; size], &[2; 10], b""]);
        let error = right.recv(&mut buffer).unwrap_err();
        let RecvError::TooLong { size: told, limit } = error else {
            panic!("{error}");
        };
        assert_eq!((told, limit), (size, 10));
        assert_eq!(right.recv(&mut buffer).unwrap(), Some(10));
        assert_eq!(buffer, [2; 10]);
        assert_eq!(right.recv(&mut []).unwrap(), Some(0));
    }
    let (left, right) = BlockingDatagram::pair().unwrap();
    send_all(&left, &[&[1; 100_000], b"next"]);
    let error = right.recv_msg(&mut buffer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record of 100000 bytes, and there is room for 10"
    );
    assert_eq!(right.recv_msg(&mut buffer).unwrap().unwrap().bytes, 4);
}

#[test]
fn what_the_kernel_does_not_take_is_an_error_before_it_is_sent() {
    let largest = largest(Kind::SeqPacket);
    let (left, right) = BlockingSeqPacket::pair().unwrap();
    let error = left.send(&vec![0; largest + 1]).unwrap_err();
    let SendError::TooLong { size, buffer } = error else {
        panic!("{error}");
    };
    assert_eq!(size, largest + 1);
    let told = rustix::net::sockopt::socket_send_buffer_size(&left).unwrap();
    assert_eq!(buffer, told);
    left.send(b"next").unwrap();
    let mut record = [0; 8];
    assert_eq!(right.recv(&mut record).unwrap(), Some(4));

    let (left, right) = BlockingDatagram::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for descriptors in [&[][..], &[std::os::fd::AsFd::as_fd(&file)]] {
        let error = left.send_msg(&vec![0; largest + 1], descriptors);
        let error = error.unwrap_err();
        assert!(matches!(error, SendError::TooLong { .. }), "{error}");
    }
    left.send_msg(b"next", &[]).unwrap();
    assert_eq!(right.recv_msg(&mut record).unwrap().unwrap().bytes, 4);
}

/// The kernel reports that before the records.
#[test]
fn what_came_before_a_reset_comes_after_it() {
    let (left, right) = BlockingSeqPacket::pair().unwrap();
    send_all(&left, &[b"x", b""]);
    right.send(b"never received").unwrap();
    drop(left);
    let RecvError::Io(error) = right.recv(&mut [0]).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(received(&right), [&b"x"[..], b""]);
}

#[test]
fn what_is_adopted_blocks_and_is_close_on_exec() {
    for kind in super::KINDS {
        let (left, right) = direct_pair(kind);
        rustix::io::fcntl_setfd(&right, rustix::io::FdFlags::empty()).unwrap();
        rustix::io::ioctl_fionbio(&right, true).unwrap();
        let watch = right.try_clone().unwrap();
        let task = match kind {
            Kind::SeqPacket => {
                let right = BlockingSeqPacket::adopt(right).unwrap();
                assert!(is_close_on_exec(&right));
                crate::support::Task::start(move || right.recv(&mut [0]).unwrap())
            }
            _ => {
                let right = BlockingDatagram::adopt(right).unwrap();
                assert!(is_close_on_exec(&right));
                crate::support::Task::start(move || {
                    let received = right.recv_msg(&mut [0]).unwrap();
                    received.map(|received| received.bytes)
                })
            }
        };
        task.wait_until_asleep();
        send_all(&left, &[b"x"]);
        assert_eq!(task.join(), Some(1));
        drop(watch);
    }
}

type Adopt = fn(OwnedFd) -> Result<(), AdoptError>;

#[test]
fn what_is_of_another_kind_is_not_adopted() {
    for actual in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        let adopts: &[(Kind, Adopt)] = &[
            (Kind::SeqPacket, |fd| BlockingSeqPacket::adopt(fd).map(drop)),
            (Kind::Datagram, |fd| BlockingDatagram::adopt(fd).map(drop)),
            #[cfg(feature = "tokio")]
            (Kind::SeqPacket, |fd| {
                sockeye::SeqPacket::adopt(fd).map(drop)
            }),
            #[cfg(feature = "tokio")]
            (Kind::Datagram, |fd| sockeye::Datagram::adopt(fd).map(drop)),
        ];
        for &(wanted, adopt) in adopts {
            #[cfg(feature = "tokio")]
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            #[cfg(feature = "tokio")]
            let _entered = runtime.enter();
            let (_left, right) = direct_pair(actual);
            match adopt(right) {
                Ok(()) => assert_eq!(actual, wanted),
                Err(AdoptError::WrongKind { actual: found, .. }) => {
                    assert_ne!(actual, wanted);
                    assert_eq!(found, Some(actual));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
