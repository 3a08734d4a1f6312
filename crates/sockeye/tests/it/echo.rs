//! The ready-made handler that sends everything back.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::process::Command;
use std::time::Duration;

use rustix::net::{SendFlags, send, sockopt};
use sockeye::ancillary::{pass_credentials, send_msg};
use sockeye::server::{Connection, Server, echo};
use sockeye::{Connector, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Place;
use crate::support::serving::{Clock, DRAIN, Running, claimed, counted, in_time, settled};

fn serve(place: &Place, server: Server) -> Running {
    let handler = |mut connection: Connection| async move {
        let _ = echo(&mut connection).await;
    };
    Running::start(
        server.drain_timeout(DRAIN),
        claimed(&place.address()),
        handler,
    )
}

async fn connect(place: &Place) -> Stream {
    Connector::new().connect(&place.address()).await.unwrap()
}

async fn exchange(client: &mut Stream, text: &[u8]) {
    client.write_all(text).await.unwrap();
    let mut came = vec![0; text.len()];
    in_time(client.read_exact(&mut came)).await.unwrap();
    assert_eq!(came, text);
}

#[tokio::test]
async fn what_comes_goes_back_until_the_end_of_input() {
    let place = Place::new();
    let server = serve(&place, Server::new());
    let mut client = connect(&place).await;
    exchange(&mut client, b"one").await;
    exchange(&mut client, b"another").await;
    client.shutdown(sockeye::Shutdown::Write).unwrap();
    assert_eq!(in_time(client.read_u8()).await.ok(), None, "the end");
    drop(client);
    settled().await;
    assert_eq!(server.report().await, counted(1, 0, 0, 0));
}

/// Sends until the server has more than it can send back, and takes no more.
async fn stuff(client: &Stream) -> Vec<u8> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let some: Vec<u8> = (0..9999).map(|at| (at / 3) as u8).collect();
    // The two sockets hold about one of these each, and one read has brought less.
    let buffer = sockopt::socket_send_buffer_size(client).unwrap();
    let mut sent = Vec::new();
    loop {
        let before = sent.len();
        while let Ok(count) = send(client, &some, flags) {
            sent.extend_from_slice(&some[..count]);
        }
        assert!(
            sent.len() < 4 * buffer,
            "it throws away what it cannot send back"
        );
        if sent.len() == before {
            return sent;
        }
        settled().await;
    }
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_everything() {
    let place = Place::new();
    let server = serve(&place, Server::new());
    let mut client = connect(&place).await;
    let sent = stuff(&client).await;
    client.shutdown(sockeye::Shutdown::Write).unwrap();
    let mut came = Vec::new();
    in_time(client.read_to_end(&mut came)).await.unwrap();
    assert!(came == sent);
    server.report().await;
}

#[tokio::test]
async fn what_comes_behind_descriptors_goes_back_too() {
    let place = Place::new();
    let server = serve(&place, Server::new());
    let mut client = connect(&place).await;
    exchange(&mut client, b"hello").await;
    let stdin = std::io::stdin();
    send_msg(&client, b"one", &[stdin.as_fd()]).unwrap();
    send_msg(&client, b"two", &[stdin.as_fd()]).unwrap();
    send_msg(&client, b"six", &[]).unwrap();
    let mut came = [0; 9];
    in_time(client.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"onetwosix");
    server.report().await;
}

/// Two processes send on one connection, and the kernel ends a read between them where it reports who
/// they are.
#[tokio::test]
async fn what_comes_from_another_sender_goes_back_too() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    pass_credentials(&listener, true).unwrap();
    let listener = Listener::adopt(listener.into()).unwrap();
    let server = Running::start(
        Server::new().drain_timeout(DRAIN),
        listener,
        |mut connection: Connection| async move {
            let _ = echo(&mut connection).await;
        },
    );
    let client = StdStream::connect(place.socket()).unwrap();
    let mut client = Stream::from_std(client).unwrap();
    exchange(&mut client, b"hello").await;
    // The server waits for readiness from now on.
    settled().await;
    // Both are queued before the server, which has the same thread, reads.
    send(&client, b"one", SendFlags::DONTWAIT).unwrap();
    let other = client.as_fd().try_clone_to_owned().unwrap();
    let printf = Command::new("printf").arg("two").stdout(other).status();
    assert!(printf.unwrap().success());
    let mut came = [0; 6];
    in_time(client.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"onetwo");
    server.report().await;
}

#[tokio::test]
async fn a_drain_closes_who_is_silent_after_what_was_sent_is_answered() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = serve(&place, Server::new());
    let mut idle = connect(&place).await;
    exchange(&mut idle, b"x").await;
    let mut busy = connect(&place).await;
    exchange(&mut busy, b"x").await;
    busy.write_all(b"last words").await.unwrap();
    server.stop();
    let mut text = String::new();
    in_time(busy.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "last words");
    in_time(idle.read_to_string(&mut text)).await.unwrap();
    assert!(server.is_over().await, "without waiting for anything");
    assert_eq!(server.report().await, counted(0, 0, 2, 0));
}

#[tokio::test]
async fn a_peer_that_never_reads_is_aborted_and_counted() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place, Server::new());
    let client = connect(&place).await;
    stuff(&client).await;
    server.stop();
    clock.pass(DRAIN + Duration::from_secs(1)).await;
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
}

#[tokio::test]
async fn a_peer_that_says_nothing_for_too_long_is_closed() {
    const LONGEST: Duration = Duration::from_secs(30);
    let place = Place::new();
    let clock = Clock::stop();
    let server = serve(&place, Server::new().idle_timeout(LONGEST));
    let mut client = connect(&place).await;
    exchange(&mut client, b"x").await;
    clock.pass(LONGEST + Duration::from_secs(1)).await;
    assert_eq!(in_time(client.read_u8()).await.ok(), None);
    server.report().await;
}
