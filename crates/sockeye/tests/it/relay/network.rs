//! One side is a TCP connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockeye::relay::{DirectionEnd, FdPolicy, Relay, RelayError, RelayReport};
use sockeye::{NetStream, Stream};
use tokio::task::{JoinHandle, spawn_blocking};

fn joined(relay: &Relay) -> (UnixStream, TcpStream, JoinHandle<RelayReport>) {
    let (client, ours) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (target, _) = listener.accept().unwrap();
    let join = relay.join(
        Stream::from_std(ours).unwrap(),
        NetStream::from_std(theirs).unwrap(),
    );
    let relay = tokio::spawn(async { join.await.unwrap() });
    (client, target, relay)
}

#[tokio::test]
async fn a_half_close_passes_between_unix_and_tcp() {
    let (mut client, mut target, relay) = joined(&Relay::new());
    let sides = spawn_blocking(move || {
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        target.read_to_string(&mut question).unwrap();
        target.write_all(question.as_bytes()).unwrap();
        drop(target);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    });
    assert_eq!(sides.await.unwrap(), "question");
    assert_eq!(relay.await.unwrap().to_client.end, DirectionEnd::Eof);
}

#[tokio::test]
async fn a_reset_of_a_unix_client_is_one_of_tcp() {
    let (mut client, mut target, relay) = joined(&Relay::new());
    let sides = spawn_blocking(move || {
        target.write_all(b"unread").unwrap();
        client.write_all(b"part").unwrap();
        // What it has not read makes the close a reset.
        client.read_exact(&mut [0; 1]).unwrap();
        drop(client);
        let mut received = Vec::new();
        let error = target.read_to_end(&mut received).unwrap_err();
        assert_eq!(received, b"part");
        error.kind()
    });
    assert_eq!(sides.await.unwrap(), ErrorKind::ConnectionReset);
    assert_eq!(relay.await.unwrap().to_target.end, DirectionEnd::Reset);
}

#[tokio::test]
async fn a_reset_of_a_tcp_target_is_one_of_unix() {
    let (mut client, target, relay) = joined(&Relay::new());
    let sides = spawn_blocking(move || {
        client.write_all(b"never read").unwrap();
        let mut peeked = [0; 10];
        while target.peek(&mut peeked).unwrap() < 10 {}
        // The kernel resets a TCP connection that is closed with unread input.
        drop(target);
        let sent = loop {
            if let Err(error) = client.write_all(b"more") {
                break error.kind();
            }
        };
        let read = client.read(&mut [0; 1]).map_err(|error| error.kind());
        [Some(sent), read.err()]
    });
    let seen = sides.await.unwrap();
    assert!(seen.contains(&Some(ErrorKind::ConnectionReset)), "{seen:?}");
    assert_eq!(relay.await.unwrap().to_client.end, DirectionEnd::Reset);
}

#[tokio::test]
async fn an_aborted_relay_resets_tcp() {
    let (mut client, mut target, relay) = joined(&Relay::new());
    client.write_all(b"part").unwrap();
    let target = spawn_blocking(move || {
        target.read_exact(&mut [0; 4]).unwrap();
        target
    });
    let mut target = target.await.unwrap();
    relay.abort();
    let error = spawn_blocking(move || target.read(&mut [0; 1]).unwrap_err().kind());
    assert_eq!(error.await.unwrap(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn fds_cannot_pass_to_tcp() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_client, ours) = Stream::pair().unwrap();
    let theirs = NetStream::from_std(theirs).unwrap();
    let joined = Relay::new().fds(FdPolicy::Pass).join(ours, theirs).await;
    assert!(matches!(joined, Err(RelayError::CannotPassFds)));
}

#[tokio::test]
async fn the_sender_learns_that_fds_are_refused() {
    use std::os::fd::AsFd;
    let (client, _target, _relay) = joined(&Relay::new());
    let sent = sockeye::send_msg(&client, b"x", &[client.as_fd()]);
    assert!(
        matches!(sent, Err(sockeye::SendError::DescriptorsRefused)),
        "Linux 6.16"
    );
}

#[tokio::test]
async fn out_of_band_data_is_an_error_on_both_sides() {
    let (mut client, target, relay) = joined(&Relay::new());
    rustix::net::send(&target, b"!", rustix::net::SendFlags::OOB).unwrap();
    let report = relay.await.unwrap();
    assert!(report.failure.is_some(), "{report:?}");
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert!(
        matches!(client.read(&mut [0; 1]), Ok(0)),
        "nothing was passed on"
    );
}

/// The close that resets a TCP connection discards what was not sent yet.
#[tokio::test]
async fn a_reset_does_not_overtake_an_answer_to_tcp() {
    const ANSWER: usize = 4 << 20;
    let (mut target, mut client, relay) = joined(&Relay::new());
    client.write_all(b"never read").unwrap();
    let answering = spawn_blocking(move || {
        let queued = || rustix::io::ioctl_fionread(&target).unwrap();
        while queued() == 0 {
            std::thread::yield_now();
        }
        target.write_all(&vec![1; ANSWER]).unwrap();
        // Closed with unread input.
    });
    let reading = spawn_blocking(move || {
        let mut answer = Vec::new();
        let error = client.read_to_end(&mut answer).unwrap_err();
        (answer.len(), error.kind())
    });
    answering.await.unwrap();
    assert_eq!(reading.await.unwrap(), (ANSWER, ErrorKind::ConnectionReset));
    relay.await.unwrap();
}
