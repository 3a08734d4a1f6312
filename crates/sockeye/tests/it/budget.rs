//! What all connections of a server together may hold while they wait.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, LimitError, Messages, Records, Server, echo};
use sockeye::{Claim, Connector, SeqPacket, SeqPacketListener};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, MILLISECOND, Running, claimed, counted, in_time, settled,
};

type Ends = mpsc::UnboundedReceiver<Option<LimitError>>;

fn limit(error: &std::io::Error) -> Option<LimitError> {
    error.get_ref()?.downcast_ref().cloned()
}

/// A server that answers each line with `ok`, and tells which limit has ended a connection.
fn serve(server: Server, listener: sockeye::Listener) -> (Running, Ends) {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move {
            let mut messages = Messages::new(connection, Framing::Line, 1 << 20);
            let end = loop {
                match messages.next().await {
                    Ok(Some(_)) => messages.send_raw(b"ok\n").await.unwrap(),
                    Ok(None) => break None,
                    Err(FramingError::Io(error)) => break limit(&error),
                    Err(error) => panic!("{error}"),
                }
            };
            tell.send(end).unwrap();
        }
    };
    (Running::start(server, listener, handler), told)
}

#[tokio::test]
async fn the_connection_that_holds_most_ends_and_the_others_are_served() {
    let place = Place::new();
    let server = Server::new().max_buffered(1 << 20);
    let (server, mut ends) = serve(server, claimed(&place.address()));
    let mut clients = Vec::new();
    for kib in [200, 500, 100] {
        let mut client = Client::connect(&place.address()).await;
        client.send(vec![b'x'; kib << 10]).await;
        settled().await;
        clients.push(client);
    }
    ends.try_recv().unwrap_err();
    let mut last = Client::connect(&place.address()).await;
    last.send(vec![b'x'; 300 << 10]).await;
    let end = in_time(ends.recv()).await.unwrap().unwrap();
    // With the room that it has for more.
    let held = (500 << 10) + (64 << 10);
    let limit = 1 << 20;
    assert_eq!(end, LimitError::Buffered { held, limit });
    assert_eq!(clients.remove(1).rest().await, b"");
    clients.push(last);
    for client in &mut clients {
        assert_eq!(client.ask("the rest").await, "ok");
        assert_eq!(client.ask("and another").await, "ok");
    }
    ends.try_recv().unwrap_err();
    drop(clients);
    settled().await;
    assert_eq!(server.report().await, counted(3, 0, 0, 1));
}

/// The room that it keeps for more must not be what exceeds the limit.
#[tokio::test]
async fn one_message_of_the_limit_has_room_where_that_is_all_there_is() {
    const LIMIT: usize = 1 << 20;
    let place = Place::new();
    let server = Server::new().max_buffered(LIMIT);
    let (server, mut ends) = serve(server, claimed(&place.address()));
    let mut client = Client::connect(&place.address()).await;
    for piece in [1, 600_000, 1, 300_000, 100_000, LIMIT - 1_000_003, 1] {
        client.send(vec![b'x'; piece]).await;
        settled().await;
    }
    ends.try_recv().unwrap_err();
    assert_eq!(client.ask("").await, "ok");
    server.report().await;
}

#[tokio::test]
async fn messages_that_come_whole_do_not_count() {
    let place = Place::new();
    let (server, mut ends) = serve(Server::new().max_buffered(1), claimed(&place.address()));
    let mut client = Client::connect(&place.address()).await;
    for _ in 0..10 {
        assert_eq!(client.ask(&"x".repeat(50_000)).await, "ok");
    }
    client.send("two\nat once\n").await;
    assert_eq!(
        (client.line().await, client.line().await),
        ("ok".into(), "ok".into())
    );
    ends.try_recv().unwrap_err();
    client.send("and a part").await;
    assert_eq!(client.rest().await, b"");
    assert!(in_time(ends.recv()).await.unwrap().is_some());
    server.report().await;
}

#[tokio::test]
async fn a_message_has_its_time_from_its_first_byte_on() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let server = Server::new().message_timeout(time).idle_timeout(time);
    let (server, mut ends) = serve(server, claimed(&place.address()));
    let mut dribbles = Client::connect(&place.address()).await;
    let mut talks = Client::connect(&place.address()).await;
    dribbles.send("a whole one\nx").await;
    settled().await;
    for _ in 0..4 {
        clock.pass(time / 4 - MILLISECOND).await;
        dribbles.send("x").await;
        // Each message in two pieces.
        talks.send("be").await;
        clock.pass(MILLISECOND / 2).await;
        talks.send("gun\nbe").await;
        clock.pass(MILLISECOND / 2).await;
        talks.send("gun\n").await;
    }
    ends.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let end = ends.try_recv().unwrap();
    assert_eq!(end, Some(LimitError::MessageTimeout { limit: time }));
    assert_eq!(dribbles.rest().await, b"ok\n");
    assert_eq!(talks.ask("still here").await, "ok");
    assert_eq!(server.report().await.aborted, 0);
}

/// Leaves the beginning of a message with `count` descriptors, all of one pipe, whose other end is
/// told when all are closed.
async fn pass_on(client: &mut Client, count: usize) -> PipeReader {
    let (reader, writer) = std::io::pipe().unwrap();
    let descriptors = vec![writer.as_fd(); count];
    let stream = client.0.get_mut();
    in_time(stream.send_msg(b"begun", &descriptors))
        .await
        .unwrap();
    reader
}

async fn are_closed(mut reader: PipeReader) {
    let wait = tokio::task::spawn_blocking(move || reader.read(&mut [0]));
    assert_eq!(in_time(wait).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn descriptors_of_unfinished_messages_are_bounded_and_253_pass() {
    let place = Place::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move {
            let mut messages =
                Messages::new(connection, Framing::Line, 1 << 20).receive_descriptors();
            let end = match messages.next().await {
                Ok(_) => Ok(messages.descriptors().len()),
                Err(FramingError::Io(error)) => Err(limit(&error)),
                Err(error) => panic!("{error}"),
            };
            tell.send(end).unwrap();
        }
    };
    let server = Server::new().max_buffered_descriptors(300);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut attacker = Client::connect(&place.address()).await;
    let held = pass_on(&mut attacker, 253).await;
    settled().await;
    told.try_recv().unwrap_err();

    let mut honest = Client::connect(&place.address()).await;
    let passed = pass_on(&mut honest, 250).await;
    are_closed(held).await;
    let end = in_time(told.recv()).await.unwrap();
    let limit = LimitError::Descriptors {
        held: 253,
        limit: 300,
    };
    assert_eq!(end, Err(Some(limit)));
    honest.send("\n").await;
    assert_eq!(in_time(told.recv()).await.unwrap(), Ok(250));
    are_closed(passed).await;
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 1));
}

#[tokio::test]
async fn answers_that_nobody_takes_count_as_well() {
    let place = Place::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            let end = echo(&mut connection).await;
            tell.send(end.err().and_then(|error| limit(&error)))
                .unwrap();
        }
    };
    let server = Server::new().max_buffered(3 * 65536);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut greedy = JoinSet::new();
    for _ in 0..4 {
        let mut client = Client::connect(&place.address()).await;
        // Takes nothing, and sends until it is closed.
        greedy.spawn(async move { while client.0.write_all(&[b'x'; 16 << 10]).await.is_ok() {} });
    }
    let end = in_time(told.recv()).await.unwrap();
    assert!(matches!(end, Some(LimitError::Buffered { .. })), "{end:?}");
    let mut honest = Client::connect(&place.address()).await;
    assert_eq!(honest.ask("hello").await, "hello");
    greedy.shutdown().await;
    assert!(server.report().await.aborted >= 1);
}

#[tokio::test]
async fn records_that_wait_for_their_answers_count_as_well() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket().display())
        .parse()
        .unwrap();
    let listener = SeqPacketListener::from_claim(Claim::options().claim(&address).unwrap());
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection<SeqPacket>| {
        let tell = tell.clone();
        async move {
            let mut records = Records::new(connection, 1 << 20);
            while let Ok(Some(record)) = records.next().await {
                if let Err(error) = records.send(&record.payload, &[]).await {
                    return tell.send(limit(&error.into())).unwrap();
                }
            }
        }
    };
    // Each holds its record and the answer.
    let server = Server::new().max_buffered(350_000);
    let server = Running::start(server, listener.unwrap(), handler);
    let mut greedy = JoinSet::new();
    for _ in 0..2 {
        let client = in_time(Connector::new().connect_seqpacket(&address))
            .await
            .unwrap();
        let record = vec![b'x'; 100_000];
        greedy.spawn(async move { while client.send(&record).await.is_ok() {} });
    }
    let end = in_time(told.recv()).await.unwrap();
    assert!(
        matches!(end, Some(LimitError::Buffered { held: 200_000, .. })),
        "{end:?}"
    );
    let honest = in_time(Connector::new().connect_seqpacket(&address))
        .await
        .unwrap();
    in_time(honest.send(b"hello")).await.unwrap();
    let mut buffer = [0; 10];
    assert_eq!(in_time(honest.recv(&mut buffer)).await.unwrap(), Some(5));
    greedy.shutdown().await;
    assert!(server.report().await.aborted >= 1);
}
