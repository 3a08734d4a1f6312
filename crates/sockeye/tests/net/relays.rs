//! Relays from and to TCP: a server whose handler joins each connection with a target.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown as StdShutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use sockeye::ancillary::SendError;
use sockeye::listener::{ConnectedSocket, SocketListener};
use sockeye::relay::{DirectionEnd, Relay, RelayAddress, RelayReport, Targets};
use sockeye::{
    Address, CancellationToken, Claim, Connection, Connector, Listener, Server, send_msg,
};
use tokio::sync::mpsc;

use crate::support::{beside, in_time, listener};

const MANY: usize = 8 << 20;

/// Relays one connection after the other, and tells how each ended.
fn relay<S: ConnectedSocket>(
    listener: SocketListener<S>,
    target: RelayAddress,
) -> (mpsc::UnboundedReceiver<RelayReport>, CancellationToken) {
    let (tell, told) = mpsc::unbounded_channel();
    let targets = Arc::new(Targets::new([target]).unwrap());
    let handler = move |client: Connection<S>| {
        let (targets, tell) = (Arc::clone(&targets), tell.clone());
        async move {
            let (_, target) = targets.connect(&Connector::new()).await.unwrap();
            tell.send(Relay::new().join(client, target).await.unwrap())
        }
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone().cancelled_owned();
    tokio::spawn(Server::new().run(listener, handler, stop));
    (told, shutdown)
}

fn pattern() -> Vec<u8> {
    (0..MANY).map(|index| (index / 251) as u8).collect()
}

/// Sends the pattern, half-closes, and expects it back.
fn ask(mut stream: impl Read + Write + Send + 'static, half_close: impl FnOnce()) {
    stream.write_all(&pattern()).unwrap();
    half_close();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(), "{} bytes", answer.len());
}

/// Reads to EOF and then answers with all of it.
fn answer(mut stream: impl Read + Write) {
    let mut question = Vec::new();
    stream.read_to_end(&mut question).unwrap();
    stream.write_all(&question).unwrap();
}

fn target_at(address: SocketAddr) -> RelayAddress {
    format!("tcp:{address}").parse().unwrap()
}

async fn assert_all_passed(mut reports: mpsc::UnboundedReceiver<RelayReport>) {
    let report = in_time(reports.recv()).await.unwrap();
    for direction in [report.to_target, report.to_client] {
        assert_eq!(
            (direction.bytes, direction.end),
            (MANY as u64, DirectionEnd::Eof)
        );
    }
    assert!(report.failure.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_is_relayed_to_tcp() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target_at(server.local_addr().unwrap());
    let (listener, address) = listener();
    let (reports, _keep) = relay(listener, target);
    let client = beside(move || {
        let client = TcpStream::connect(address).unwrap();
        let writer = client.try_clone().unwrap();
        ask(client, || writer.shutdown(StdShutdown::Write).unwrap());
    });
    tokio::join!(client, beside(move || answer(server.accept().unwrap().0)));
    assert_all_passed(reports).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_is_relayed_to_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.sock");
    #[expect(clippy::disallowed_methods, reason = "the foreign server")]
    let server = UnixListener::bind(&path).unwrap();
    let target = RelayAddress::Unix(Address::from_path(&path).unwrap());
    let (listener, address) = listener();
    let (reports, _keep) = relay(listener, target);
    let client = beside(move || {
        let client = TcpStream::connect(address).unwrap();
        let writer = client.try_clone().unwrap();
        ask(client, || writer.shutdown(StdShutdown::Write).unwrap());
    });
    tokio::join!(client, beside(move || answer(server.accept().unwrap().0)));
    assert_all_passed(reports).await;
}

/// A relay from a UNIX socket to `target`.
fn unix_relay(
    dir: &tempfile::TempDir,
    target: RelayAddress,
) -> (
    UnixStream,
    mpsc::UnboundedReceiver<RelayReport>,
    CancellationToken,
) {
    let path = dir.path().join("relay.sock");
    let address = Address::from_path(&path).unwrap();
    let listener = Listener::open(&address, &Claim::options()).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (reports, keep) = relay(listener, target);
    (client, reports, keep)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_relayed_to_tcp_and_its_fds_are_refused() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = target_at(server.local_addr().unwrap());
    let (client, reports, _keep) = unix_relay(&dir, target);
    let refused = send_msg(&client, b"x", &[client.as_fd()]);
    assert!(matches!(refused, Err(SendError::DescriptorsRefused)));
    let client = beside(move || {
        let writer = client.try_clone().unwrap();
        ask(client, || writer.shutdown(StdShutdown::Write).unwrap());
    });
    tokio::join!(client, beside(move || answer(server.accept().unwrap().0)));
    assert_all_passed(reports).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_a_tcp_target_is_no_eof_for_the_client() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = target_at(server.local_addr().unwrap());
    let (listener, address) = listener();
    let (mut reports, _keep) = relay(listener, target);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"question").unwrap();
    let accepted = beside(move || {
        let (accepted, _) = server.accept().unwrap();
        accepted.peek(&mut [0]).unwrap();
        accepted
    });
    // With the question unread.
    drop(accepted.await);
    let read = beside(move || client.read(&mut [0])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let report = in_time(reports.recv()).await.unwrap();
    assert_eq!(report.to_client.end, DirectionEnd::Reset);
}
