//! [`Messages`] over every stream that has them: a client's, a server's, and read halves.

use std::io::ErrorKind;

use sockeye::Stream;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, in_time, on_each_runtime, settled,
};

fn pair() -> (Stream, Stream) {
    Stream::pair().unwrap()
}

/// Replies to each message with itself.
async fn echo(connection: Connection, framing: Framing) {
    let mut messages = Messages::new(connection, framing, 1 << 20);
    while let Some(message) = messages.next().await.unwrap() {
        messages.send(&message.payload).await.unwrap();
    }
}

#[test]
fn a_client_reads_and_sends_messages_as_a_server_does() {
    on_each_runtime(async || {
        for framing in [Framing::Line, Framing::Length] {
            let place = Place::new();
            let handler = move |connection| echo(connection, framing);
            let server = Running::start(Server::new(), claimed(&place.address()), handler);
            let stream = Client::connect(&place.address()).await.0.into_inner();
            let mut messages = Messages::new(stream, framing, 1 << 20);
            // The last ones do not fit into the kernel's buffers.
            for size in [0, 1, 4095, 4096, 70_000, 1 << 20, 3, 1 << 20] {
                let payload = vec![b'x'; size];
                messages.send(&payload).await.unwrap();
                let answer = in_time(messages.next()).await.unwrap().unwrap();
                assert!(answer.payload == payload, "{framing:?}, {size}");
            }
            messages
                .connection()
                .shutdown(sockeye::Shutdown::Write)
                .unwrap();
            assert!(in_time(messages.next()).await.unwrap().is_none());
            // The client may see the end before the connection is counted.
            let report = server.report().await;
            assert_eq!((report.served + report.drained, report.aborted), (1, 0));
        }
    });
}

#[tokio::test]
async fn a_payload_that_is_no_line_is_not_sent() {
    let (left, mut right) = pair();
    let mut messages = Messages::new(left, Framing::Line, 100);
    let error = messages.send(b"one\ntwo").await.unwrap_err();
    assert!(matches!(error, FramingError::NewlineInLine { at: 3 }));
    messages.send_raw(b"one\ntwo\n").await.unwrap();
    let mut stream = messages.into_inner();
    stream.write_all(b"end").await.unwrap();
    drop(stream);
    let mut text = String::new();
    right.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one\ntwo\nend");
}

#[tokio::test]
async fn what_is_too_long_or_incomplete_is_an_error_for_a_client_too() {
    let (left, mut right) = pair();
    let (reader, _writer) = left.into_split();
    let mut messages = Messages::new(reader, Framing::Length, 4);
    right.write_all(b"\0\0\0\x02hi\0\0\0\x03h").await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap().payload, "hi");
    drop(right);
    let error = messages.next().await.unwrap_err();
    assert!(
        matches!(error, FramingError::Incomplete { got: 5 }),
        "{error}"
    );

    let (left, mut right) = pair();
    let mut messages = Messages::new(left, Framing::Line, 4);
    right.write_all(b"12345").await.unwrap();
    let error = messages.next().await.unwrap_err();
    assert!(
        matches!(error, FramingError::TooLong { limit: 4 }),
        "{error}"
    );
}

#[tokio::test]
async fn a_drain_waits_for_the_message_that_a_read_half_has_begun() {
    let place = Place::new();
    let clock = Clock::stop();
    let handler = |connection: Connection| async move {
        let (reader, mut writer) = connection.into_split();
        let mut messages = Messages::new(reader, Framing::Line, 100);
        while let Some(message) = messages.next().await.unwrap() {
            writer.write_all(&message.payload).await.unwrap();
        }
    };
    let server = Server::new().drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut begun = Client::connect(&place.address()).await;
    let mut idle = Client::connect(&place.address()).await;
    begun.send("hal").await;
    idle.send("x\n").await;
    settled().await;
    server.stop();
    settled().await;
    assert_eq!(idle.rest().await, b"x", "closed between two messages");
    clock.pass(DRAIN - MILLISECOND).await;
    begun.send("f\n").await;
    assert_eq!(begun.rest().await, b"half");
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

#[tokio::test]
async fn the_message_of_a_read_half_has_the_server_s_limits() {
    let place = Place::new();
    let clock = Clock::stop();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move {
            let (reader, _writer) = connection.into_split();
            let mut messages = Messages::new(reader, Framing::Line, 100);
            tell.send(messages.next().await.map(drop)).unwrap();
        }
    };
    let server = Server::new().message_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    client.send("hal").await;
    clock.pass(DRAIN - MILLISECOND).await;
    told.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let FramingError::Io(error) = told.try_recv().unwrap().unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(server);
}
