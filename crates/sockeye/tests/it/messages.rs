//! [`Messages`]: where a message ends, whatever the pieces in which it comes.

use std::time::Duration;

use sockeye::framing::{Framing, FramingError, Message};
use sockeye::server::{Connection, Messages, Server};
use tokio::sync::mpsc;

use crate::support::Place;
use crate::support::serving::{Client, Clock, Running, claimed, counted, in_time, settled};

type Received = Result<Option<Message>, FramingError>;

/// A server that hands over what it reads, and answers each message with `ok`.
struct Reader {
    place: Place,
    server: Running,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Reader {
    fn start(framing: Framing, limit: usize) -> Self {
        Self::with(Server::new(), framing, limit, b"ok\n")
    }

    /// For more messages than the kernel holds answers to.
    fn mute(framing: Framing, limit: usize) -> Self {
        Self::with(Server::new(), framing, limit, b"")
    }

    fn with(server: Server, framing: Framing, limit: usize, answer: &'static [u8]) -> Self {
        let place = Place::new();
        let (tell, received) = mpsc::unbounded_channel();
        let handler = move |connection: Connection| {
            let tell = tell.clone();
            async move {
                let mut messages = Messages::new(connection, framing, limit);
                loop {
                    let next = messages.next().await;
                    let goes_on = matches!(next, Ok(Some(_)));
                    tell.send(next).unwrap();
                    if !goes_on || messages.send_raw(answer).await.is_err() {
                        return;
                    }
                }
            }
        };
        let server = Running::start(server, claimed(&place.address()), handler);
        Self {
            place,
            server,
            received,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.place.address()).await
    }

    async fn next(&mut self) -> Received {
        in_time(self.received.recv()).await.unwrap()
    }

    async fn message(&mut self) -> Message {
        self.next().await.unwrap().expect("a message")
    }

    async fn text(&mut self) -> String {
        String::from_utf8(self.message().await.payload.to_vec()).unwrap()
    }

    async fn assert_end(&mut self) {
        assert_eq!(self.next().await.unwrap(), None);
    }

    async fn assert_too_long(&mut self, most: usize) {
        let error = self.next().await.unwrap_err();
        assert!(matches!(error, FramingError::TooLong { limit } if limit == most));
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    Framing::Length.encode(payload).unwrap().to_vec()
}

#[tokio::test]
async fn a_message_comes_byte_by_byte() {
    for (framing, wire) in [
        (Framing::Line, b"hello\n".to_vec()),
        (Framing::Length, frame(b"hello")),
    ] {
        let mut reader = Reader::start(framing, 100);
        let mut client = reader.client().await;
        for _ in 0..3 {
            for byte in &wire {
                assert!(reader.received.is_empty());
                client.send([*byte]).await;
                settled().await;
            }
            let message = reader.message().await;
            assert_eq!(message.payload, "hello");
            assert_eq!(message.size, wire.len());
        }
        client.half_close().await;
        reader.assert_end().await;
        assert_eq!(client.rest().await, b"ok\nok\nok\n");
    }
}

#[tokio::test]
async fn many_messages_come_at_once() {
    for framing in [Framing::Line, Framing::Length] {
        let mut reader = Reader::mute(framing, 1 << 20);
        let mut client = reader.client().await;
        let payloads: Vec<_> = (0..500).map(|id| "m".repeat(id % 300)).collect();
        let wire: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| framing.encode(payload.as_bytes()).unwrap())
            .collect();
        client.send(&wire).await;
        client.half_close().await;
        for payload in &payloads {
            assert_eq!(&reader.text().await, payload);
        }
        reader.assert_end().await;
    }
}

#[tokio::test]
async fn a_message_may_be_larger_than_any_buffer() {
    for framing in [Framing::Line, Framing::Length] {
        let mut reader = Reader::start(framing, 1 << 20);
        let mut client = reader.client().await;
        let payload: Vec<u8> = (0..1 << 20).map(|at| b'a' + (at % 23) as u8).collect();
        let mut wire = framing.encode(&payload).unwrap().to_vec();
        wire.extend(framing.encode(b"next").unwrap());
        client.send(&wire).await;
        assert!(reader.message().await.payload == payload);
        assert_eq!(reader.text().await, "next");
    }
}

/// The connections of one thread share a buffer while nothing is to be read.
#[tokio::test]
async fn connections_do_not_mix() {
    let mut reader = Reader::mute(Framing::Line, 1 << 20);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(reader.client().await);
    }
    for round in 0..20 {
        for (id, client) in clients.iter_mut().enumerate() {
            client.send(format!("{id} ")).await;
        }
        settled().await;
        for (id, client) in clients.iter_mut().enumerate() {
            client.send(format!("{round}\n{id} ends\n{id} ")).await;
            assert_eq!(
                reader.text().await.replace(&format!("{id} "), ""),
                round.to_string()
            );
            assert_eq!(reader.text().await, format!("{id} ends"));
        }
        settled().await;
        for client in &mut clients {
            client.send("\n").await;
            settled().await;
            reader.text().await;
        }
    }
}

#[tokio::test]
async fn a_line_may_be_empty_and_the_last_needs_no_newline() {
    let mut reader = Reader::start(Framing::Line, 10);
    let mut client = reader.client().await;
    client.send("\n\na\r\nlast").await;
    client.half_close().await;
    for (text, size) in [("", 1), ("", 1), ("a\r", 3), ("last", 4)] {
        let message = reader.message().await;
        assert_eq!(
            (&message.payload[..], message.size),
            (text.as_bytes(), size)
        );
    }
    reader.assert_end().await;
    assert_eq!(client.rest().await, b"ok\n".repeat(4));
}

#[tokio::test]
async fn a_frame_may_be_empty() {
    let mut reader = Reader::start(Framing::Length, 10);
    let mut client = reader.client().await;
    client.send(frame(b"")).await;
    let message = reader.message().await;
    assert_eq!((&message.payload[..], message.size), (&b""[..], 4));
}

#[tokio::test]
async fn the_limit_is_the_payload_alone() {
    for framing in [Framing::Line, Framing::Length] {
        let mut reader = Reader::start(framing, 5);
        let mut client = reader.client().await;
        client.send(framing.encode(b"12345").unwrap()).await;
        assert_eq!(reader.text().await, "12345");
        assert_eq!(client.line().await, "ok");
        client.send(framing.encode(b"123456").unwrap()).await;
        reader.assert_too_long(5).await;
        assert_eq!(client.rest().await, b"", "no answer");
    }
}

#[tokio::test]
async fn what_is_too_long_is_known_before_it_has_come() {
    for (framing, wire) in [
        (Framing::Line, b"123456".to_vec()),
        (Framing::Length, u32::MAX.to_be_bytes().to_vec()),
        (Framing::Length, 6u32.to_be_bytes().to_vec()),
    ] {
        let mut reader = Reader::start(framing, 5);
        let mut other = reader.client().await;
        let mut client = reader.client().await;
        client.send(&wire).await;
        reader.assert_too_long(5).await;
        assert_eq!(client.rest().await, b"");
        other.send(framing.encode(b"fine").unwrap()).await;
        assert_eq!(reader.text().await, "fine");
        assert_eq!(other.line().await, "ok");
        drop(other);
        reader.assert_end().await;
        settled().await;
        assert_eq!(reader.server.report().await, counted(2, 0, 0, 0));
    }
}

#[tokio::test]
async fn messages_before_one_that_is_too_long_are_answered() {
    let mut reader = Reader::start(Framing::Line, 5);
    let mut client = reader.client().await;
    client.send("one\ntwo\nmuch too long\nnever read\n").await;
    assert_eq!(reader.text().await, "one");
    assert_eq!(reader.text().await, "two");
    reader.assert_too_long(5).await;
    assert_eq!(client.rest().await, b"ok\nok\n");
}

#[tokio::test]
async fn a_frame_that_stops_short_is_an_error() {
    for sent in 1..8 {
        let mut reader = Reader::start(Framing::Length, 100);
        let mut client = reader.client().await;
        client.send(&frame(b"1234")[..sent]).await;
        client.half_close().await;
        let error = reader.next().await.unwrap_err();
        assert!(matches!(error, FramingError::Incomplete { got } if got == sent));
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn a_raw_message_is_what_one_read_gives() {
    let mut reader = Reader::start(Framing::Raw, 1 << 20);
    let mut client = reader.client().await;
    for text in ["one", "two\nthree\n"] {
        client.send(text).await;
        assert_eq!(reader.text().await, text);
    }
    client.half_close().await;
    reader.assert_end().await;
}

#[tokio::test]
async fn a_raw_message_is_never_longer_than_the_limit() {
    for limit in [1, 3, 7, 5000, 1 << 20] {
        let mut reader = Reader::mute(Framing::Raw, limit);
        let mut client = reader.client().await;
        let sent: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
        client.send(&sent).await;
        client.half_close().await;
        let mut came = Vec::new();
        while let Some(message) = reader.next().await.unwrap() {
            assert!((1..=limit).contains(&message.payload.len()));
            assert_eq!(message.size, message.payload.len());
            came.extend_from_slice(&message.payload);
        }
        assert!(came == sent);
    }
}

#[tokio::test]
async fn a_message_may_begin_before_a_drain_and_end_in_it() {
    for (framing, wire) in [
        (Framing::Line, b"hello\n".to_vec()),
        (Framing::Length, frame(b"hello")),
    ] {
        for at in 1..wire.len() {
            let _clock = Clock::stop();
            let mut reader = Reader::start(framing, 100);
            let mut client = reader.client().await;
            client.send(&wire[..at]).await;
            settled().await;
            reader.server.stop();
            settled().await;
            // A message in the same read is still taken; then the connection ends.
            client.send([&wire[at..], &wire[..]].concat()).await;
            assert_eq!(reader.text().await, "hello");
            assert_eq!(reader.text().await, "hello");
            reader.assert_end().await;
            assert_eq!(client.rest().await, b"ok\nok\n");
            assert_eq!(reader.server.report().await, counted(0, 0, 1, 0));
            tokio::time::resume();
        }
    }
}

#[tokio::test]
async fn a_timeout_of_the_server_ends_the_wait() {
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let server = Server::new().idle_timeout(time);
    let mut reader = Reader::with(server, Framing::Line, 100, b"ok\n");
    let mut client = reader.client().await;
    client.send("begun").await;
    clock.pass(time + Duration::from_millis(1)).await;
    let error = reader.next().await.unwrap_err();
    let FramingError::Io(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(client.rest().await, b"");
}

/// The future of `next` may be dropped and replaced at any moment.
#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let place = Place::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |connection: Connection| {
        let tell = tell.clone();
        async move {
            let mut messages = Messages::new(connection, Framing::Line, 100);
            loop {
                tokio::select! {
                    biased;
                    next = messages.next() => match next.unwrap() {
                        Some(message) => tell.send(message.payload).unwrap(),
                        None => return,
                    },
                    () = tokio::task::yield_now() => {}
                }
            }
        }
    };
    let server = Running::start(Server::new(), claimed(&place.address()), handler);
    let mut client = Client::connect(&place.address()).await;
    for byte in b"one\ntwo\n" {
        client.send([*byte]).await;
        settled().await;
    }
    assert_eq!(told.recv().await.unwrap(), "one");
    assert_eq!(told.recv().await.unwrap(), "two");
    drop(client);
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}
