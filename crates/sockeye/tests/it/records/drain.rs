//! Shutting down.

use std::io::ErrorKind;
use std::time::Duration;

use sockeye::claim::ClaimErrorKind;
use sockeye::connect::ConnectErrorKind;
use sockeye::server::{Records, Server};
use sockeye::{Claim, Connector, Kind, SeqPacketListener};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, ask, assert_nothing_came, claimed, connect, echo, next, serve};
use crate::support::serving::{Clock, DRAIN, MILLISECOND, Running, counted, in_time, settled};
use crate::support::{Place, listening};

#[tokio::test]
async fn the_backlog_is_served() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let listener = claimed(&address);
    let mut clients = Vec::new();
    for id in 0..100 {
        let client = connect(&address).await;
        client.send(id.to_string().as_bytes()).await.unwrap();
        client.send(b"").await.unwrap();
        clients.push(client);
    }
    // Told to stop before it could accept anybody.
    let server = Running::start(Server::new(), listener, echo);
    server.stop();
    for (id, client) in clients.iter().enumerate() {
        assert_eq!(next(client).await, Some(id.to_string().into()));
        assert_eq!(next(client).await, Some(Vec::new()));
        assert_eq!(next(client).await, None, "and then it is closed");
    }
    assert_eq!(server.report().await, counted(0, 0, 100, 0));
    place.assert_empty();
}

#[tokio::test]
async fn the_backlog_behind_a_maximum_is_served_in_turn() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let server = Server::new().max_connections(1).drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&address), echo);
    let silent = connect(&address).await;
    settled().await;
    let mut waiting = Vec::new();
    for id in 0..20 {
        let client = connect(&address).await;
        client.send(id.to_string().as_bytes()).await.unwrap();
        waiting.push(client);
    }
    server.stop();
    settled().await;
    assert_eq!(place.names(), ["app.sock.lock"]);
    let error = Claim::options().claim(&address).unwrap_err();
    assert!(
        matches!(error.kind(), ClaimErrorKind::Locked { .. }),
        "{error}"
    );
    assert_eq!(ask(&silent, "first").await, "first");
    for (id, client) in waiting.iter().enumerate() {
        assert_eq!(next(client).await, Some(id.to_string().into()));
    }
    assert_eq!(server.report().await, counted(0, 0, 21, 0));
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_once() {
    let place = Place::new();
    let _clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let server = serve(&address);
    let client = connect(&address).await;
    assert_eq!(
        ask(&client, "").await,
        "",
        "an empty record breaks the silence too"
    );
    settled().await;
    server.stop();
    assert!(server.is_over().await, "without any time passing");
    let lost = std::io::Error::from(client.send(b"two").await.unwrap_err());
    assert_eq!(lost.kind(), ErrorKind::BrokenPipe, "known, not lost");
    assert_eq!(next(&client).await, None);
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_silent_connection_has_one_second() {
    let place = Place::new();
    let clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let server = serve(&address);
    let silent = connect(&address).await;
    let late = connect(&address).await;
    settled().await;
    server.stop();
    clock.pass(Duration::from_secs(1) - MILLISECOND).await;
    assert_eq!(ask(&late, "not too late").await, "not too late");
    assert_eq!(next(&late).await, None, "and no longer silent");
    assert_nothing_came(&silent);
    clock.pass(2 * MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(next(&silent).await, None);
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

#[tokio::test]
async fn records_that_wait_in_a_connection_are_served() {
    let place = Place::new();
    let _clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let server = serve(&address);
    let idle = connect(&address).await;
    assert_eq!(ask(&idle, "one").await, "one");
    let silent = connect(&address).await;
    settled().await;
    // The server's tasks are not polled between these and the signal.
    for record in [&b""[..], b"two", b""] {
        rustix::net::send(&idle, record, rustix::net::SendFlags::empty()).unwrap();
        rustix::net::send(&silent, record, rustix::net::SendFlags::empty()).unwrap();
    }
    server.stop();
    for client in [idle, silent] {
        for record in ["", "two", ""] {
            assert_eq!(next(&client).await, Some(record.into()));
        }
        assert_eq!(next(&client).await, None);
    }
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

/// With a signal that comes at any moment of a client's work: what was sent without an error is
/// answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_without_an_error_is_answered() {
    for round in 0..60 {
        let place = Place::new();
        let address = place.address_of(Kind::SeqPacket);
        let server = serve(&address);
        let client = connect(&address).await;
        assert_eq!(ask(&client, "first").await, "first");
        let client = tokio::spawn(async move {
            for record in 0.. {
                // Every other one is empty.
                let record = if record % 2 == 0 {
                    String::new()
                } else {
                    record.to_string()
                };
                match client.send(record.as_bytes()).await {
                    Ok(()) => {
                        assert_eq!(
                            next(&client).await,
                            Some(record.into()),
                            "sent, so answered"
                        );
                    }
                    Err(_) => return,
                }
            }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        server.stop();
        in_time(client).await.unwrap();
        assert_eq!(server.report().await, counted(0, 0, 1, 0));
    }
}

#[tokio::test]
async fn a_handler_in_the_middle_is_waited_for_and_then_aborted() {
    let place = Place::new();
    let clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let handler = |connection| async {
        let mut records = Records::new(connection, LIMIT);
        while let Ok(Some(record)) = records.next().await {
            if record.payload == b"never"[..] {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(DRAIN / 2).await;
            records.send(&record.payload, &[]).await.unwrap();
        }
    };
    let server = Running::start(
        Server::new().drain_timeout(DRAIN),
        claimed(&address),
        handler,
    );
    let slow = connect(&address).await;
    let never = connect(&address).await;
    slow.send(b"slow").await.unwrap();
    never.send(b"never").await.unwrap();
    settled().await;
    server.stop();
    clock.pass(DRAIN / 2 + MILLISECOND).await;
    assert_eq!(next(&slow).await, Some(b"slow".into()));
    assert_eq!(next(&slow).await, None);
    assert!(!server.is_over().await);
    clock.pass(DRAIN / 2).await;
    assert!(server.is_over().await);
    assert_eq!(next(&never).await, None);
    assert_eq!(server.report().await, counted(0, 0, 1, 1));
}

#[tokio::test]
async fn a_second_signal_aborts_at_once() {
    let place = Place::new();
    let _clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let now = CancellationToken::new();
    let server = Server::new().drain_timeout(DRAIN).abort_on(now.clone());
    let server = Running::start(server, claimed(&address), echo);
    let silent = connect(&address).await;
    // Its answers have no room.
    let busy = connect(&address).await;
    let send = || rustix::net::send(&busy, &[0; LIMIT], rustix::net::SendFlags::DONTWAIT);
    while send().is_ok() {
        settled().await;
    }
    server.stop();
    assert!(!server.is_over().await);
    now.cancel();
    assert!(server.is_over().await);
    assert_eq!(next(&silent).await, None);
    assert_eq!(server.report().await, counted(0, 0, 1, 1));
}

#[tokio::test]
async fn an_adopted_listener_goes_on_for_its_other_holders() {
    let place = Place::new();
    let _clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let theirs = listening(Kind::SeqPacket, &place.socket(), 8);
    let ours = SeqPacketListener::adopt(theirs.try_clone().unwrap()).unwrap();
    let server = Running::start(Server::new(), ours, echo);
    let client = connect(&address).await;
    assert_eq!(ask(&client, "a").await, "a");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
    assert_eq!(place.names(), ["app.sock"]);
    let _client = connect(&address).await;
    rustix::net::accept(&theirs).unwrap();
}

#[tokio::test]
async fn new_clients_are_refused_and_a_successor_may_start() {
    let place = Place::new();
    let _clock = Clock::stop();
    for address in [
        place.address_of(Kind::SeqPacket),
        place.abstract_address(Kind::SeqPacket),
    ] {
        let server = serve(&address);
        let silent = connect(&address).await;
        settled().await;
        server.stop();
        settled().await;
        let error = Connector::new()
            .connect_seqpacket(&address)
            .await
            .unwrap_err();
        match address.path() {
            Some(_) => assert!(matches!(error.kind(), ConnectErrorKind::Absent)),
            None => assert!(matches!(error.kind(), ConnectErrorKind::NobodyListens)),
        }
        let successor = serve(&address);
        assert_eq!(ask(&connect(&address).await, "new").await, "new");
        assert_eq!(ask(&silent, "old").await, "old");
        assert_eq!(server.report().await, counted(0, 0, 1, 0));
        settled().await;
        assert_eq!(successor.report().await, counted(1, 0, 0, 0));
        place.assert_empty();
    }
}
