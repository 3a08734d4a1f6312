//! ResultSender, limits and timeouts.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::Duration;

use sockeye::ancillary::RecvError;
use sockeye::server::{Connection, Records, Server};
use sockeye::{Kind, SeqPacket};
use tokio::sync::mpsc;

use super::{LIMIT, ask, claimed, connect, echo, next, serve};
use crate::support::serving::{Clock, MILLISECOND, Running, counted, in_time, settled};
use crate::support::{Place, as_nobody, connected};

#[tokio::test]
async fn each_record_is_answered_and_empty_ones_too() {
    let place = Place::new();
    let server = serve(&place.address_of(Kind::SeqPacket));
    let client = connect(&place.address_of(Kind::SeqPacket)).await;
    for record in ["one", "", "", "two", ""] {
        assert_eq!(ask(&client, record).await, record);
    }
    let file = std::fs::File::open("/dev/null").unwrap();
    client
        .send_msg(b"", &[file.as_fd(), file.as_fd()])
        .await
        .unwrap();
    let received = in_time(client.recv_msg(&mut [0])).await.unwrap().unwrap();
    assert_eq!((received.bytes, received.descriptors.len()), (0, 2));
    client.shutdown(rustix::net::Shutdown::Write).unwrap();
    assert_eq!(next(&client).await, None);
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
    place.assert_empty();
}

/// Sent, and closed without a look at the answers. The first answer that finds nobody ends the
/// handler, so this one does not answer.
#[tokio::test]
async fn what_was_sent_before_a_reset_is_served() {
    let place = Place::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let told = told.clone();
        async move {
            let mut records = Records::new(connection, LIMIT);
            records.send(b"nobody receives this", &[]).await.unwrap();
            told.send(None).unwrap();
            while let Some(record) = records.next().await.unwrap() {
                told.send(Some(record.payload)).unwrap();
            }
        }
    };
    let address = place.address_of(Kind::SeqPacket);
    let server = Running::start(Server::new(), claimed(&address), handler);
    let client = connect(&address).await;
    assert_eq!(in_time(tells.recv()).await.unwrap(), None);
    settled().await;
    for record in ["a", "", "b"] {
        client.send(record.as_bytes()).await.unwrap();
    }
    drop(client);
    for record in ["a", "", "b"] {
        assert_eq!(in_time(tells.recv()).await.unwrap(), Some(record.into()));
    }
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

#[tokio::test]
async fn a_record_that_is_too_long_is_an_error_with_its_size() {
    let place = Place::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let told = told.clone();
        async move {
            let mut records = Records::new(connection, LIMIT);
            told.send(records.next().await.map(|_| ())).unwrap();
            told.send(records.next().await.map(|_| ())).unwrap();
        }
    };
    let address = place.address_of(Kind::SeqPacket);
    let server = Running::start(Server::new(), claimed(&address), handler);
    let client = connect(&address).await;
    client.send(&[0; LIMIT + 1]).await.unwrap();
    client.send(&[0; LIMIT]).await.unwrap();
    let error = in_time(tells.recv()).await.unwrap().unwrap_err();
    assert!(
        matches!(error, RecvError::TooLong { size, limit } if size == LIMIT + 1 && limit == LIMIT)
    );
    in_time(tells.recv()).await.unwrap().unwrap();
    server.report().await;
}

/// A connection with a small limit must not be given room that one with a large limit has left.
#[tokio::test]
async fn each_connection_has_its_own_limit() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let handler = |connection| async {
        let mut large = Records::new(connection, LIMIT);
        let Ok(Some(record)) = large.next().await else {
            return;
        };
        large.send(&record.payload, &[]).await.unwrap();
    };
    let server = Running::start(Server::new(), claimed(&address), handler);
    assert_eq!(
        ask(&connect(&address).await, &"x".repeat(LIMIT))
            .await
            .len(),
        LIMIT
    );
    server.report().await;
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let told = told.clone();
        async move {
            let mut small = Records::new(connection, 3);
            told.send(small.next().await.map(|_| ())).unwrap();
        }
    };
    let server = Running::start(Server::new(), claimed(&address), handler);
    connect(&address).await.send(b"four").await.unwrap();
    let error = in_time(tells.recv()).await.unwrap().unwrap_err();
    assert!(matches!(error, RecvError::TooLong { size: 4, limit: 3 }));
    server.report().await;
}

#[tokio::test]
async fn timeouts_close_a_connection() {
    let place = Place::new();
    let clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let (told, mut tells) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let told = told.clone();
        async move {
            let mut records = Records::new(connection, LIMIT);
            let error = loop {
                match records.next().await {
                    Ok(Some(record)) if record.payload == b"fill"[..] => {
                        break loop {
                            if let Err(error) = records.send(&[0; LIMIT], &[]).await {
                                break std::io::Error::from(error);
                            }
                        };
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => break error.into(),
                }
            };
            told.send(error.kind()).unwrap();
        }
    };
    let server = Server::new()
        .first_byte_timeout(Duration::from_secs(5))
        .idle_timeout(Duration::from_secs(60));
    let server = Running::start(server, claimed(&address), handler);
    let _silent = connect(&address).await;
    clock.pass(Duration::from_secs(5) - MILLISECOND).await;
    assert!(tells.try_recv().is_err());
    clock.pass(2 * MILLISECOND).await;
    assert_eq!(tells.try_recv(), Ok(ErrorKind::TimedOut), "no first record");

    let idle = connect(&address).await;
    for _ in 0..2 {
        // An empty record is a sign of life.
        idle.send(b"").await.unwrap();
        clock.pass(Duration::from_secs(60) - MILLISECOND).await;
        assert!(tells.try_recv().is_err());
    }
    clock.pass(2 * MILLISECOND).await;
    assert_eq!(tells.try_recv(), Ok(ErrorKind::TimedOut), "idle");

    let full = connect(&address).await;
    full.send(b"fill").await.unwrap();
    clock.pass(Duration::from_secs(60) - MILLISECOND).await;
    assert!(tells.try_recv().is_err());
    clock.pass(2 * MILLISECOND).await;
    assert_eq!(tells.try_recv(), Ok(ErrorKind::TimedOut), "nobody receives");
    assert_eq!(server.report().await, counted(3, 0, 0, 0));
}

#[tokio::test]
async fn limits_and_authorization_hold() {
    let place = Place::new();
    place.open_to_all();
    let address = place.address_of(Kind::SeqPacket);
    let uid = sockeye::ids::own_uid();
    let server = Server::new()
        .authorize(move |peer, _| peer.uid() == uid)
        .max_per_uid(2);
    let server = Running::start(server, claimed(&address), echo);
    let first = connect(&address).await;
    let second = connect(&address).await;
    assert_eq!(ask(&first, "1").await, "1");
    assert_eq!(ask(&second, "2").await, "2");
    assert_eq!(next(&connect(&address).await).await, None, "one too many");
    drop(second);
    settled().await;
    assert_eq!(ask(&connect(&address).await, "3").await, "3");
    settled().await;
    let mut refused = 1;
    if let Some(theirs) = as_nobody(|| connected(Kind::SeqPacket, &place.socket())) {
        assert_eq!(
            next(&SeqPacket::adopt(theirs).unwrap()).await,
            None,
            "closed without an answer"
        );
        refused += 1;
    }
    drop(first);
    settled().await;
    assert_eq!(server.report().await, counted(3, refused, 0, 0));
}

/// Handlers that use the connection itself, without [`Records`].
#[tokio::test]
async fn a_handler_of_ones_own_is_called() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let handler = |mut connection: Connection<SeqPacket>| async move {
        let mut buffer = [0; LIMIT];
        while let Some(received) = connection.recv_msg(&mut buffer).await.unwrap() {
            let sent = connection.send_msg(&buffer[..received.bytes], &[]);
            sent.await.unwrap();
        }
    };
    let server = Running::start(Server::new(), claimed(&address), handler);
    let client = connect(&address).await;
    for record in ["one", "", "two"] {
        assert_eq!(ask(&client, record).await, record);
    }
    drop(client);
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}
