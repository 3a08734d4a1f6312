//! Shutting down: nothing that was asked stays unanswered, and no longer than it may take.

use std::time::Duration;

use rustix::net::SendFlags;
use sockeye::Claim;
use sockeye::claim::ClaimErrorKind;
use sockeye::framing::Framing;
use sockeye::server::{Connection, Messages, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, echo_lines, in_time, serve,
    settled,
};

#[tokio::test]
async fn a_server_without_clients_ends_at_once() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = serve(&place.address());
    settled().await;
    server.stop();
    assert!(server.is_over().await);
    place.assert_empty();
    assert_eq!(server.report().await, counted(0, 0, 0, 0));
}

#[tokio::test]
async fn the_backlog_is_served() {
    let place = Place::new();
    let listener = claimed(&place.address());
    let mut clients = Vec::new();
    for id in 0..100 {
        let mut client = Client::connect(&place.address()).await;
        client.send(format!("{id}\n")).await;
        clients.push(client);
    }
    // Told to stop before it could accept anybody.
    let server = Running::start(Server::new(), listener, echo_lines);
    server.stop();
    for (id, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line().await, id.to_string());
        assert_eq!(client.rest().await, b"", "and then it is closed");
    }
    assert_eq!(server.report().await, counted(0, 0, 100, 0));
    place.assert_empty();
}

#[tokio::test]
async fn the_backlog_behind_a_maximum_is_served_in_turn() {
    let place = Place::new();
    let server = Server::new().max_connections(1).drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    let mut first = Client::connect(&place.address()).await;
    first.send("begun").await;
    settled().await;
    let mut waiting = Vec::new();
    for id in 0..20 {
        let mut client = Client::connect(&place.address()).await;
        client.send(format!("{id}\n")).await;
        waiting.push(client);
    }
    server.stop();
    settled().await;
    // While it takes in its backlog nobody else may have the address, and nobody new comes.
    assert_eq!(place.names(), ["app.sock.lock"]);
    let error = Claim::options().claim(&place.address()).unwrap_err();
    let pid = Some(rustix::process::getpid());
    assert_eq!(error.kind(), &ClaimErrorKind::Locked { pid });
    assert_eq!(first.ask("").await, "begun");
    for (id, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.line().await, id.to_string());
    }
    settled().await;
    drop(Claim::options().claim(&place.address()).unwrap());
    assert_eq!(server.report().await, counted(0, 0, 21, 0));
}

#[tokio::test]
async fn what_is_still_in_the_backlog_at_the_end_is_counted() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = Server::new().max_connections(1).drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    let mut first = Client::connect(&place.address()).await;
    first.send("never ended").await;
    settled().await;
    let mut second = Client::connect(&place.address()).await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(second.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 0, 2));
}

#[tokio::test]
async fn a_connection_between_two_messages_is_closed_at_once() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = serve(&place.address());
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("one").await, "one");
    settled().await;
    server.stop();
    assert!(server.is_over().await, "without any time passing");
    let lost = client.0.write_all(b"two\n").await.unwrap_err();
    assert_eq!(
        lost.kind(),
        std::io::ErrorKind::BrokenPipe,
        "known, not lost"
    );
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_silent_connection_has_one_second() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place.address());
    let mut silent = Client::connect(&place.address()).await;
    let mut late = Client::connect(&place.address()).await;
    settled().await;
    server.stop();
    clock.pass(Duration::from_secs(1) - MILLISECOND).await;
    assert_eq!(late.ask("not too late").await, "not too late");
    assert_eq!(late.rest().await, b"", "and no longer silent");
    silent.assert_nothing_came();
    clock.pass(2 * MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(silent.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

#[tokio::test]
async fn a_silent_connection_has_no_longer_than_the_drain() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_millis(300);
    let server = Running::start(
        Server::new().drain_timeout(time),
        claimed(&place.address()),
        echo_lines,
    );
    let mut silent = Client::connect(&place.address()).await;
    settled().await;
    server.stop();
    clock.pass(time - MILLISECOND).await;
    assert!(!server.is_over().await);
    clock.pass(2 * MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(silent.rest().await, b"");
    assert_eq!(
        server.report().await,
        counted(0, 0, 1, 0),
        "nothing was lost"
    );
}

#[tokio::test]
async fn a_message_that_has_begun_is_waited_for() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place.address());
    let mut client = Client::connect(&place.address()).await;
    client.send("one\ntw").await;
    assert_eq!(client.line().await, "one");
    server.stop();
    clock.pass(DRAIN - MILLISECOND).await;
    assert!(!server.is_over().await);
    assert_eq!(client.ask("o").await, "two");
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_message_that_never_ends_is_aborted_at_the_deadline() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place.address());
    let mut client = Client::connect(&place.address()).await;
    client.send("begun").await;
    settled().await;
    server.stop();
    let began = Instant::now();
    for _ in 0..9 {
        clock.pass(Duration::from_secs(1)).await;
        client.send(" and not ended").await;
    }
    clock.pass(Duration::from_secs(1) - MILLISECOND).await;
    assert!(!server.is_over().await);
    clock.pass(2 * MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(client.rest().await, b"");
    assert!(began.elapsed() < DRAIN + Duration::from_secs(1));
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
}

#[tokio::test]
async fn bytes_that_wait_in_a_connection_are_served() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = serve(&place.address());
    let mut idle = Client::connect(&place.address()).await;
    assert_eq!(idle.ask("one").await, "one");
    let mut silent = Client::connect(&place.address()).await;
    settled().await;
    // The server's tasks are not polled between these and the signal.
    idle.send("two\nthree\n").await;
    silent.send("a\nb\n").await;
    server.stop();
    assert_eq!(idle.line().await, "two");
    assert_eq!(idle.line().await, "three");
    assert_eq!(idle.rest().await, b"");
    assert_eq!(silent.line().await, "a");
    assert_eq!(silent.line().await, "b");
    assert_eq!(silent.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

#[tokio::test]
async fn what_the_runtime_has_forgotten_is_served() {
    let place = Place::new();
    let _clock = Clock::stop();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let mut messages = Messages::new(connection, Framing::Line, 100);
        let tell = tell.clone();
        async move {
            while let Ok(Some(message)) = messages.next().await {
                tell.send(message.payload).unwrap();
            }
        }
    };
    let server = Server::new().drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    client.send("one\n").await;
    assert_eq!(told.recv().await.unwrap(), "one");
    settled().await;
    // A read ends in front of out-of-band data.
    for (bytes, flags) in [
        ("two\n", SendFlags::empty()),
        ("!", SendFlags::OOB),
        ("three\n", SendFlags::empty()),
    ] {
        rustix::net::send(client.0.get_ref(), bytes.as_bytes(), flags).unwrap();
    }
    assert_eq!(told.recv().await.unwrap(), "two");
    server.stop();
    assert!(server.is_over().await, "without any time passing");
    assert_eq!(told.recv().await.unwrap(), "three");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_message_that_has_begun_unseen_is_waited_for() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = serve(&place.address());
    let mut idle = Client::connect(&place.address()).await;
    assert_eq!(idle.ask("one").await, "one");
    settled().await;
    idle.send("tw").await;
    server.stop();
    settled().await;
    assert_eq!(idle.ask("o").await, "two");
    assert_eq!(idle.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

/// As above, with a signal that comes at any moment of a client's work: what was sent without an
/// error is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_without_an_error_is_answered() {
    for round in 0..60 {
        let place = Place::new();
        let server = serve(&place.address());
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("first").await, "first");
        let client = tokio::spawn(async move {
            let mut answered = 0;
            loop {
                let line = format!("{answered}");
                let sent = client.0.write_all(format!("{line}\n").as_bytes()).await;
                match sent {
                    Ok(()) => assert_eq!(client.line().await, line, "sent, so answered"),
                    Err(_) => return answered,
                }
                answered += 1;
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
async fn an_answer_that_is_under_way_is_sent_to_its_end() {
    const SIZE: usize = (1 << 20) - 1;
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place.address());
    let mut client = Client::connect(&place.address()).await;
    let line = "x".repeat(SIZE);
    client.send(format!("{line}\n")).await;
    // Nobody reads, and the kernel does not hold that much.
    settled().await;
    server.stop();
    clock.pass(DRAIN - MILLISECOND).await;
    assert!(!server.is_over().await);
    assert!(client.line().await == line);
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_second_signal_aborts_at_once() {
    let place = Place::new();
    let _clock = Clock::stop();
    let now = CancellationToken::new();
    let server = Server::new().drain_timeout(DRAIN).abort_on(now.clone());
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    let mut begun = Client::connect(&place.address()).await;
    begun.send("begun").await;
    let mut silent = Client::connect(&place.address()).await;
    settled().await;
    server.stop();
    assert!(!server.is_over().await);
    now.cancel();
    assert!(server.is_over().await);
    assert_eq!(begun.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 1, 1));
}

#[tokio::test]
async fn the_numbers_add_up() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = Server::new().drain_timeout(DRAIN).max_per_uid(6);
    let server = Running::start(
        server,
        claimed(&place.address()),
        |connection: Connection| async {
            let mut connection = connection;
            let mut byte = [0];
            loop {
                match connection.read(&mut byte).await {
                    Ok(1) if byte == *b"e" => return echo_lines(connection).await,
                    Ok(1) => assert_ne!(byte, *b"p", "asked to panic"),
                    _ => return,
                }
            }
        },
    );
    for _ in 0..3 {
        drop(Client::connect(&place.address()).await);
        settled().await;
    }
    let mut open = Vec::new();
    for first in ["e", "eone\n", "ebegun", "b", "p", "e"] {
        let mut client = Client::connect(&place.address()).await;
        client.send(first).await;
        settled().await;
        open.push(client);
    }
    // The one that panicked has left its place.
    open.push(Client::connect(&place.address()).await);
    for _ in 0..4 {
        assert_eq!(Client::connect(&place.address()).await.rest().await, b"");
    }
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    // Aborted: the incomplete one, the one whose handler marks nothing, the one that sent nothing.
    let report = server.report().await;
    assert_eq!(report, counted(3, 4, 3, 4));
    assert_eq!(report.accept_errors, 0);
}
