//! The timeouts of a server's connections.

use std::time::Duration;

use sockeye::server::{Connection, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, MILLISECOND, Running, claimed, counted, echo_lines, in_time, settled,
};

/// Reads until the end or an error, and tells which.
fn reader(
    told: mpsc::UnboundedSender<std::io::Result<()>>,
) -> impl Fn(Connection) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send {
    move |mut connection| {
        let told = told.clone();
        Box::pin(async move {
            let mut buffer = [0; 64];
            let end = loop {
                match connection.read(&mut buffer).await {
                    Ok(0) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            told.send(end).unwrap();
        })
    }
}

#[tokio::test]
async fn who_sends_nothing_at_all_is_out_of_time() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().first_byte_timeout(time);
    let server = Running::start(server, claimed(&place.address()), reader(tell));
    let mut silent = Client::connect(&place.address()).await;
    let mut talks = Client::connect(&place.address()).await;
    settled().await;
    talks.send("x").await;
    clock.pass(time - MILLISECOND).await;
    told.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "nothing was received within 5s of accept(2) (first-byte timeout)"
    );
    assert_eq!(silent.rest().await, b"");

    // The first byte is all that this one asks for.
    clock.pass(100 * time).await;
    told.try_recv().unwrap_err();
    talks.half_close().await;
    in_time(told.recv()).await.unwrap().unwrap();
    settled().await;
    assert_eq!(server.report().await, counted(2, 0, 0, 0));
}

#[tokio::test]
async fn who_pauses_for_too_long_is_out_of_time() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().idle_timeout(time);
    let server = Running::start(server, claimed(&place.address()), reader(tell));
    let mut client = Client::connect(&place.address()).await;
    for _ in 0..4 {
        clock.pass(time - MILLISECOND).await;
        told.try_recv().unwrap_err();
        client.send("x").await;
    }
    clock.pass(time - MILLISECOND).await;
    told.try_recv().unwrap_err();
    clock.pass(2 * MILLISECOND).await;
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "nothing was received or sent for 5s (idle timeout)"
    );
    assert_eq!(client.rest().await, b"");
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

#[tokio::test]
async fn who_takes_no_answer_is_out_of_time() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new().idle_timeout(time),
        claimed(&place.address()),
        move |mut connection: Connection| {
            let tell = tell.clone();
            async move {
                let end = connection.write_all(&[0; 1 << 24]).await;
                tell.send(end).unwrap();
            }
        },
    );
    let mut client = Client::connect(&place.address()).await;
    clock.pass(time - MILLISECOND).await;
    told.try_recv().unwrap_err();
    // As long as something goes, it goes on.
    in_time(client.0.read_exact(&mut [0; 1 << 18]))
        .await
        .unwrap();
    clock.pass(time - MILLISECOND).await;
    told.try_recv().unwrap_err();
    // What it has read behind the last byte that was sent is seen at the first deadline.
    clock.pass(2 * MILLISECOND).await;
    clock.pass(time + MILLISECOND).await;
    let error = told.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "the peer has read nothing for 5s (idle timeout of a write)"
    );
    drop(server);
}

#[tokio::test]
async fn without_timeouts_a_connection_may_wait_for_ever() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = Running::start(Server::new(), claimed(&place.address()), echo_lines);
    let mut client = Client::connect(&place.address()).await;
    clock.pass(Duration::from_secs(1_000_000)).await;
    assert_eq!(client.ask("still here").await, "still here");
    clock.pass(Duration::from_secs(1_000_000)).await;
    assert_eq!(client.ask("again").await, "again");
    drop(client);
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

/// The two halves of a connection may belong to two tasks, and the timeout to both.
#[tokio::test]
async fn a_timeout_reaches_the_half_that_waits() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new().idle_timeout(time),
        claimed(&place.address()),
        move |connection: Connection| {
            let tell = tell.clone();
            async move {
                let (mut reader, mut writer) = tokio::io::split(connection);
                let reading = tokio::spawn(async move { reader.read(&mut [0]).await });
                settled().await;
                // More than the kernel holds, so that this task waits too, and later than the other.
                writer.write_all(&[0; 1 << 20]).await.unwrap();
                tell.send(reading.await.unwrap().map(drop)).unwrap();
            }
        },
    );
    let mut client = Client::connect(&place.address()).await;
    settled().await;
    let mut answer = vec![0; 1 << 20];
    in_time(client.0.read_exact(&mut answer)).await.unwrap();
    clock.pass(time + MILLISECOND).await;
    clock.pass(time + MILLISECOND).await;
    let end = told.try_recv().expect("the reader was never woken");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn the_work_of_a_handler_is_not_counted_as_idle() {
    let idle = Duration::from_secs(60);
    let server = Server::new().idle_timeout(idle);
    let (mut connection, mut client, _handle) = Connection::pair_of(&server).unwrap();
    let handler = tokio::spawn(async move {
        connection.read_u8().await.unwrap();
        // Without a reply.
        tokio::time::sleep(2 * idle).await;
        connection.read_u8().await.unwrap();
        let began = tokio::time::Instant::now();
        connection.read_u8().await.unwrap_err();
        began.elapsed()
    });
    client.write_all(b"x").await.unwrap();
    tokio::time::sleep(2 * idle + idle / 2).await;
    client.write_all(b"x").await.unwrap();
    let waited = handler.await.unwrap();
    assert!(
        waited >= idle && waited < idle + 2 * MILLISECOND,
        "{waited:?}"
    );
}
