//! Records stay whole.

use std::io::ErrorKind;

use sockeye::packet::BlockingSeqPacket;
use sockeye::relay::{Relay, RelayFailure, RelayReport};
use sockeye::{RecvError, SeqPacket, Shutdown};
use tokio::task::{JoinHandle, spawn_blocking};

fn joined(
    relay: &Relay,
) -> (
    BlockingSeqPacket,
    BlockingSeqPacket,
    JoinHandle<RelayReport>,
) {
    let (client, ours) = SeqPacket::pair().unwrap();
    let (theirs, target) = SeqPacket::pair().unwrap();
    let join = relay.join(ours, theirs);
    let relay = tokio::spawn(async { join.await.unwrap() });
    let blocking = |socket: SeqPacket| socket.into_blocking().unwrap();
    (blocking(client), blocking(target), relay)
}

/// The kernel's default send buffer without what it needs itself.
const LARGEST: usize = 212_960;

#[tokio::test]
async fn records_of_every_size_arrive_whole_and_in_order() {
    let sizes = [0, 1, 8191, 8192, 8193, 0, 100_000, LARGEST, 0, 3];
    let (client, target, relay) = joined(&Relay::new());
    let sending = spawn_blocking(move || {
        for size in sizes {
            client.send(&vec![b'x'; size]).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(client.recv(&mut buffer).unwrap(), Some(0));
        assert_eq!(client.recv(&mut buffer).unwrap(), None);
    });
    let received = spawn_blocking(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut received = Vec::new();
        while let Some(size) = target.recv(&mut buffer).unwrap() {
            received.push(size);
        }
        target.send(b"").unwrap();
        received
    });
    assert_eq!(received.await.unwrap(), sizes);
    sending.await.unwrap();
    let report = relay.await.unwrap();
    assert_eq!(report.to_target.records, sizes.len() as u64);
    assert_eq!(report.to_client.records, 1);
}

#[tokio::test]
async fn a_record_over_the_limit_is_an_error_on_both_sides() {
    let (client, target, relay) = joined(&Relay::new().max_record(1000));
    let sides = spawn_blocking(move || {
        client.send(&[0; 1000]).unwrap();
        client.send(&[0; 1001]).unwrap();
        client.send(&[0; 1]).unwrap();
        let mut buffer = [0; 2000];
        assert_eq!(target.recv(&mut buffer).unwrap(), Some(1000));
        // It has sent nothing that could be left unread.
        assert_eq!(target.recv(&mut buffer).unwrap(), None);
        let Err(RecvError::Io(error)) = client.recv(&mut buffer) else {
            panic!("the client reads no reset");
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    sides.await.unwrap();
    let failure = relay.await.unwrap().failure;
    let Some(RelayFailure::RecordTooLong { size, limit }) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!((size, limit), (1001, 1000));
}
