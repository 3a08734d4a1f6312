//! Connections that a handler has moved into a task of its own: an abort ends their I/O, and they are
//! counted as any other.

use std::future::{Future, pending, ready};
use std::io::{self, ErrorKind};
use std::time::Duration;

use sockeye::ancillary::RecvError;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, Messages, Report, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::sync::CancellationToken;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, in_time, on_each_runtime, settled,
};

/// A server whose handler has `work` done in a task of its own, and returns; with the errors of that.
fn serve<F>(
    server: Server,
    place: &Place,
    work: impl Fn(Connection) -> F + Send + 'static,
) -> (Running, UnboundedReceiver<io::Error>)
where
    F: Future<Output = io::Error> + Send + 'static,
{
    let (tell, ends) = mpsc::unbounded_channel();
    let handler = move |connection| {
        let (tell, work) = (tell.clone(), work(connection));
        tokio::spawn(async move { tell.send(work.await) });
        ready(())
    };
    let server = Running::start(server, claimed(&place.address()), handler);
    (server, ends)
}

/// Lets the drain of a server pass that has a client which has sent something and waits.
async fn end_of_drain<F>(work: impl Fn(Connection) -> F + Send + 'static) -> (ErrorKind, Report)
where
    F: Future<Output = io::Error> + Send + 'static,
{
    let place = Place::new();
    let clock = Clock::stop();
    let server = Server::new().drain_timeout(DRAIN);
    let (server, mut ends) = serve(server, &place, work);
    let mut client = Client::connect(&place.address()).await;
    client.send("begun").await;
    settled().await;
    server.stop();
    clock.pass(DRAIN - MILLISECOND).await;
    ends.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let error = ends.try_recv().expect("it still waits");
    assert!(server.is_over().await, "without any more time");
    let report = server.report().await;
    tokio::time::resume();
    (error.kind(), report)
}

async fn read(mut connection: Connection) -> io::Error {
    loop {
        match connection.read(&mut [0; 10]).await {
            Ok(0) => return ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

async fn write(mut connection: Connection) -> io::Error {
    connection.write_all(&[0; 1 << 24]).await.unwrap_err()
}

async fn read_message(connection: Connection) -> io::Error {
    let mut messages = Messages::new(connection, Framing::Line, 100);
    match messages.next().await.unwrap_err() {
        FramingError::Io(error) => error,
        error => panic!("{error}"),
    }
}

/// Each half in a task.
async fn read_and_write_in_halves(connection: Connection) -> io::Error {
    let (mut reader, mut writer) = connection.into_split();
    let writing = tokio::spawn(async move { writer.write_all(&[0; 1 << 24]).await });
    while reader.read_u8().await.is_ok() {}
    writing.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn the_drain_timeout_ends_each_wait_of_a_connection_in_another_task() {
    let aborted = (ErrorKind::ConnectionAborted, counted(0, 0, 0, 1));
    assert_eq!(end_of_drain(read).await, aborted);
    assert_eq!(end_of_drain(write).await, aborted);
    assert_eq!(end_of_drain(read_message).await, aborted);
    assert_eq!(end_of_drain(read_and_write_in_halves).await, aborted);
    let receive = |mut connection: Connection| async move {
        loop {
            match connection.recv_msg(&mut [0; 10]).await {
                Ok(_) => {}
                Err(RecvError::Io(error)) => return error,
                Err(error) => panic!("{error}"),
            }
        }
    };
    assert_eq!(end_of_drain(receive).await, aborted);
    let await_room = |mut connection: Connection| async move {
        loop {
            if let Err(error) = connection.writable().await {
                return error;
            }
            let _ = connection.try_write(&[0; 1 << 16]);
        }
    };
    assert_eq!(end_of_drain(await_room).await, aborted);
}

#[tokio::test]
async fn an_idle_connection_in_another_task_counts_as_drained() {
    let read_idle = |mut connection: Connection| {
        connection.set_idle(true);
        read(connection)
    };
    let end = end_of_drain(read_idle).await;
    assert_eq!(end, (ErrorKind::ConnectionAborted, counted(0, 0, 1, 0)));
}

/// Tasks that hold a connection and wait for something else: they are not waited for, and counted.
#[tokio::test]
async fn what_is_never_dropped_is_counted_by_its_last_mark() {
    let place = Place::new();
    let clock = Clock::stop();
    let (give, mut given) = mpsc::unbounded_channel();
    let hold = move |mut connection: Connection| {
        let give = give.clone();
        async move {
            match connection.read_u8().await.unwrap() {
                b'i' => connection.set_idle(true),
                b'b' => {
                    connection.set_idle(true);
                    connection.set_idle(false);
                }
                b'a' => {
                    connection.set_idle(true);
                    connection.mark_aborted();
                }
                _ => {
                    let (mut reader, writer) = connection.into_split();
                    reader.set_idle(true);
                    drop((reader, writer));
                    return pending().await;
                }
            }
            give.send(connection).unwrap();
            pending().await
        }
    };
    let (server, _ends) = serve(Server::new().drain_timeout(DRAIN), &place, hold);
    let mut clients = Vec::new();
    for mark in ["i", "i", "b", "a", "gone"] {
        let mut client = Client::connect(&place.address()).await;
        client.send(mark).await;
        clients.push(client);
    }
    settled().await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    // A moment for tasks that are about to drop theirs.
    clock.pass(Duration::from_secs(1) + MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(server.report().await, counted(1, 0, 2, 2));
    // All of their I/O fails from now on.
    while let Ok(mut connection) = given.try_recv() {
        let error = connection.write_all(b"late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        let error = connection.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    }
}

#[tokio::test]
async fn the_io_of_a_connection_in_another_task_goes_on_within_the_abort_grace() {
    let place = Place::new();
    let clock = Clock::stop();
    let answer = |mut connection: Connection| async move {
        connection.abort_token().cancelled().await;
        connection.write_all(b"goodbye\n").await.unwrap();
        read(connection).await
    };
    let server = Server::new().drain_timeout(DRAIN).abort_grace(DRAIN);
    let (server, mut ends) = serve(server, &place, answer);
    let mut client = Client::connect(&place.address()).await;
    settled().await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert_eq!(client.line().await, "goodbye");
    client.send("x").await;
    clock.pass(DRAIN - MILLISECOND).await;
    ends.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let error = ends.try_recv().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(server.is_over().await);
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
}

#[test]
fn an_abort_ends_connections_in_other_tasks_on_each_runtime() {
    on_each_runtime(async || {
        const CLIENTS: usize = 50;
        let place = Place::new();
        let abort = CancellationToken::new();
        let server = Server::new().abort_on(abort.clone());
        let (tell, mut told) = mpsc::unbounded_channel();
        let work = move |mut connection: Connection| {
            let tell = tell.clone();
            async move {
                connection.read_u8().await.unwrap();
                tell.send(()).unwrap();
                read(connection).await
            }
        };
        let (server, mut ends) = serve(server, &place, work);
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = Client::connect(&place.address()).await;
            client.send("x").await;
            in_time(told.recv()).await.unwrap();
            clients.push(client);
        }
        server.stop();
        abort.cancel();
        for client in &mut clients {
            let error = in_time(ends.recv()).await.unwrap();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
            assert_eq!(client.rest().await, b"");
        }
        let report = server.report().await;
        assert_eq!(report, counted(0, 0, 0, CLIENTS as u64));
    });
}
