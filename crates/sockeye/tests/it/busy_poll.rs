//! Busy polling before sleeping: the same bytes arrive as without it, and other tasks are polled.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockeye::server::{Connection, Records, Server};
use sockeye::{BusyPoll, Claim, Connector, Kind, SeqPacket, SeqPacketListener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::{Client, Running, claimed, counted, echo_lines, in_time};

/// Longer than a test may take, so that only giving way ends it.
const ENDLESS: Duration = Duration::from_secs(3600);

fn server() -> Server {
    Server::new().busy_poll(ENDLESS)
}

#[tokio::test]
async fn a_server_that_polls_answers_all_and_drains() {
    let place = Place::new();
    let running = Running::start(server(), claimed(&place.address()), echo_lines);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect(&place.address()).await);
    }
    for round in 0..50 {
        for (at, client) in clients.iter_mut().enumerate() {
            let line = format!("{round} of {at}");
            assert_eq!(in_time(client.ask(&line)).await, line);
        }
    }
    // One alone is polled for, until the drain.
    clients.truncate(1);
    for round in 0..50 {
        let line = format!("{round}");
        assert_eq!(in_time(clients[0].ask(&line)).await, line);
    }
    let report = in_time(running.report()).await;
    assert_eq!(report, counted(7, 0, 1, 0));
}

async fn echo_records(connection: Connection<SeqPacket>) {
    let mut records = Records::new(connection, 100);
    while let Ok(Some(record)) = records.next().await {
        if records.send(&record.payload, &[]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn records_are_polled_for_on_both_sides() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let claim = Claim::options().claim(&address).unwrap();
    let listener = SeqPacketListener::from_claim(claim).unwrap();
    let running = Running::start(server(), listener, echo_records);
    let mut client = Connector::new().connect_seqpacket(&address).await.unwrap();
    client.set_busy_poll(BusyPoll::new(ENDLESS));
    let mut buffer = [0; 100];
    for size in [0, 1, 100] {
        client.send(&vec![b'x'; size]).await.unwrap();
        let received = in_time(client.recv_polling(&mut buffer)).await.unwrap();
        assert_eq!(received.map(|received| received.bytes), Some(size));
    }
    drop(client);
    let report = in_time(running.report()).await;
    assert_eq!(report.served + report.drained, 1);
}

/// On a runtime with one thread: it would never end if the reader did not yield.
#[tokio::test]
async fn a_stream_that_polls_yields_to_the_one_that_writes() {
    let (left, right) = UnixStream::pair().unwrap();
    let (mut left, mut right) = (
        Stream::from_std(left).unwrap(),
        Stream::from_std(right).unwrap(),
    );
    left.set_busy_poll(BusyPoll::new(ENDLESS));
    let writer = tokio::spawn(async move {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        right.write_all(b"late").await.unwrap();
    });
    let mut text = String::new();
    in_time(left.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "late");
    writer.await.unwrap();
}

#[test]
fn a_blocking_client_polls_and_then_sleeps() {
    let (mut client, mut server) = UnixStream::pair().unwrap();
    let mut busy = BusyPoll::new(Duration::from_micros(1));
    assert!(!busy.wait(&client).unwrap(), "nothing has come");
    server.write_all(b"x").unwrap();
    assert!(busy.wait(&client).unwrap());
    client.read_exact(&mut [0]).unwrap();
    drop(server);
    assert!(busy.wait(&client).unwrap(), "the end can be read, too");
}
