//! What a connection counts as at the drain timeout, in its handler and in a task of its own: a send
//! that is not finished is aborted, since the peer has part of a message.

use std::future::{Future, pending, ready};
use std::time::Duration;

use futures_util::FutureExt;
use sockeye::framing::Framing;
use sockeye::server::{Connection, MessageReader, Messages, Records, Report, Server};
use sockeye::{Claim, Connector, Kind, SeqPacket, SeqPacketListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::{Clock, DRAIN, MILLISECOND, Running, claimed, counted, settled};

/// More than a socket buffer holds.
static MUCH: [u8; 1 << 20] = [b'x'; 1 << 20];

/// The report of a drain with a client that sends a line and reads nothing, where `work` is done in
/// the handler, or in a task of its own.
async fn drained<F>(work: impl Fn(Connection) -> F + Copy + Send + 'static) -> [Report; 2]
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut reports = Vec::new();
    for moved in [false, true] {
        let place = Place::new();
        let clock = Clock::stop();
        let handler = move |connection| {
            let mut work = work(connection).boxed();
            if moved {
                tokio::spawn(work);
                work = ready(()).boxed();
            }
            work
        };
        let server = Server::new().drain_timeout(DRAIN);
        let server = Running::start(server, claimed(&place.address()), handler);
        let mut client = Connector::new().connect(&place.address()).await.unwrap();
        client.write_all(b"hello\n").await.unwrap();
        settled().await;
        server.stop();
        clock.pass(DRAIN + MILLISECOND).await;
        // For tasks that hold their connection all the same.
        clock.pass(Duration::from_secs(1) + MILLISECOND).await;
        reports.push(server.report().await);
        drop(client);
        tokio::time::resume();
    }
    [reports[0], reports[1]]
}

fn lines<S: MessageReader>(connection: S) -> Messages<S> {
    Messages::new(connection, Framing::Line, 100)
}

#[tokio::test]
async fn a_message_that_is_stuck_counts_as_aborted() {
    let aborted = [counted(0, 0, 0, 1); 2];
    let push_after_a_wait = |connection| async {
        let mut messages = lines(connection);
        messages.next().await.unwrap();
        assert!(messages.next().now_or_never().is_none());
        messages.send(&MUCH).await.unwrap_err();
    };
    assert_eq!(drained(push_after_a_wait).await, aborted);
    let give_up_and_wait = |connection| async {
        let mut messages = lines(connection);
        messages.next().await.unwrap();
        assert!(messages.send(&MUCH).now_or_never().is_none());
        assert!(messages.next().now_or_never().is_none());
        pending::<()>().await;
    };
    assert_eq!(drained(give_up_and_wait).await, aborted);
    let chat = |connection: Connection| async {
        let (reader, mut writer) = connection.into_split();
        let mut messages = lines(reader);
        let read = async { while let Ok(Some(_)) = messages.next().await {} };
        let write = async { writer.write_all(&MUCH).await.unwrap_err() };
        tokio::join!(read, write);
    };
    assert_eq!(drained(chat).await, aborted);
    let wait_for_room = |connection: Connection| async {
        let (reader, mut writer) = connection.into_split();
        let mut messages = lines(reader);
        messages.next().await.unwrap();
        assert!(messages.next().now_or_never().is_none());
        while writer.writable().await.is_ok() {
            let _ = writer.try_write(&MUCH);
        }
    };
    assert_eq!(drained(wait_for_room).await, aborted);
    let marked = |mut connection: Connection| async move {
        connection.set_idle(true);
        connection.write_all(&MUCH).await.unwrap_err();
    };
    assert_eq!(drained(marked).await, aborted);
}

#[tokio::test]
async fn what_waits_for_something_else_counts_alike_in_the_handler_and_elsewhere() {
    let drained_in_both = [counted(0, 0, 1, 0); 2];
    let sent = |connection| async {
        let mut messages = lines(connection);
        messages.next().await.unwrap();
        assert!(messages.next().now_or_never().is_none());
        messages.send(b"news").await.unwrap();
        pending::<()>().await;
    };
    assert_eq!(drained(sent).await, drained_in_both);
    let made = |mut connection: Connection| async move {
        connection.read_exact(&mut [0; 6]).await.unwrap();
        let _messages = lines(connection);
        pending::<()>().await;
    };
    assert_eq!(drained(made).await, drained_in_both);
    let marked = |mut connection: Connection| async move {
        connection.read_exact(&mut [0; 6]).await.unwrap();
        connection.set_idle(true);
        pending::<()>().await;
    };
    assert_eq!(drained(marked).await, drained_in_both);
    let aborted = [counted(0, 0, 0, 1); 2];
    let in_a_message = |connection| async {
        let mut messages = lines(connection);
        messages.next().await.unwrap();
        pending::<()>().await;
    };
    assert_eq!(drained(in_a_message).await, aborted);
    let unread = |connection| async {
        let _messages = lines(connection);
        pending::<()>().await;
    };
    assert_eq!(drained(unread).await, aborted);
    let marked_unread = |mut connection: Connection| async move {
        connection.set_idle(true);
        pending::<()>().await;
    };
    assert_eq!(drained(marked_unread).await, aborted);
}

#[tokio::test]
async fn a_record_that_is_stuck_counts_as_aborted() {
    let place = Place::new();
    let clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let listener = SeqPacketListener::open(&address, &Claim::options()).unwrap();
    let handler = |connection: Connection<SeqPacket>| async {
        let mut records = Records::new(connection, 100);
        while records.send(&[1; 1000], &[]).await.is_ok() {}
    };
    let server = Server::new().drain_timeout(DRAIN);
    let server = Running::start(server, listener, handler);
    let client = Connector::new().connect_seqpacket(&address).await.unwrap();
    settled().await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
    drop(client);
}

#[tokio::test]
async fn a_record_that_was_given_up_is_not_under_way() {
    let place = Place::new();
    let clock = Clock::stop();
    let address = place.address_of(Kind::SeqPacket);
    let listener = SeqPacketListener::open(&address, &Claim::options()).unwrap();
    let handler = |connection: Connection<SeqPacket>| async {
        let mut records = Records::new(connection, 100);
        while records.send(&[1; 1000], &[]).now_or_never().is_some() {}
        assert!(records.next().now_or_never().is_none());
        pending::<()>().await;
    };
    let server = Server::new().drain_timeout(DRAIN);
    let server = Running::start(server, listener, handler);
    let client = Connector::new().connect_seqpacket(&address).await.unwrap();
    settled().await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
    drop(client);
}
