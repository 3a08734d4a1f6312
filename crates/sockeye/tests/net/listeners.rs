//! [`NetListener`] and the server that runs on it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown as StdShutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use sockeye::{AdoptError, Claim, Connection, ListenError, NetListener, NetStream, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::support::{Running, answer, beside, counts, in_time, listener, tcp_address};

/// Sends `text`, half-closes, and reads the answer.
fn ask(mut client: TcpStream, text: &str) -> std::io::Result<String> {
    client.write_all(text.as_bytes())?;
    client.shutdown(StdShutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test]
async fn the_backlog_is_served_in_a_drain() {
    let (listener, address) = listener();
    let mut clients: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let server = Running::start(Server::new(), listener, answer);
    // Told to stop before it could accept anybody.
    server.stop();
    let answers = beside(move || {
        let asked = clients.drain(..).map(|client| ask(client, "hello"));
        asked.collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(answers.await.unwrap(), ["hello"; 100]);
    assert_eq!(counts(&server.result().await), [0, 0, 100, 0]);
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// Tells of its connection, and reads until that ends.
async fn hold(mut connection: Connection<NetStream>, begun: mpsc::UnboundedSender<()>) {
    begun.send(()).unwrap();
    let _ = connection.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn what_is_still_in_the_backlog_at_the_end_is_counted() {
    let (listener, address) = listener();
    let clients: Vec<TcpStream> = (0..5)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let server = Server::new()
        .max_connections(1)
        .drain_timeout(Duration::from_millis(1));
    let server = Running::start(server, listener, move |connection| {
        hold(connection, begun.clone())
    });
    in_time(beginning.recv()).await.unwrap();
    assert_eq!(counts(&server.report().await), [0, 0, 0, 5]);
    for mut client in clients {
        let ended = client.read(&mut [0]);
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_server_that_authorizes_refuses_clients_without_credentials() {
    let servers = [
        Server::new().allow_users([0, rustix::process::getuid().as_raw()]),
        Server::new().authorize(|_, _| true),
        Server::new().max_per_uid(10),
    ];
    for server in servers {
        let (listener, address) = listener();
        let server = Running::start(server, listener, answer);
        let ended = beside(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client.read(&mut [0])
        });
        assert!(matches!(ended.await, Ok(0)));
        assert_eq!(counts(&server.report().await), [0, 1, 0, 0]);
    }
}

#[tokio::test]
async fn a_server_of_one_connection_resets_the_others() {
    let (listener, address) = listener();
    let [first, second, third] = [(); 3].map(|()| TcpStream::connect(address).unwrap());
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let server = Running::start(Server::new().once(), listener, move |connection| {
        hold(connection, begun.clone())
    });
    in_time(beginning.recv()).await.unwrap();
    for mut other in [second, third] {
        assert!(matches!(other.read(&mut [0]), Ok(0)));
    }
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    drop(first);
    assert_eq!(counts(&server.result().await), [1, 2, 0, 0]);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_timed_out() {
    let (listener, address) = listener();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().first_byte_timeout(Duration::from_millis(1));
    let server = Running::start(server, listener, move |mut connection| {
        let tell = tell.clone();
        async move { tell.send(connection.read(&mut [0]).await).unwrap() }
    });
    let client = TcpStream::connect(address).unwrap();
    let read = in_time(told.recv()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::TimedOut);
    drop(client);
    assert_eq!(counts(&server.report().await), [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_timed_out() {
    let (listener, address) = listener();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new().idle_timeout(Duration::from_millis(10));
    let server = Running::start(server, listener, move |mut connection| {
        let tell = tell.clone();
        async move {
            let answer = vec![0; 64 << 20];
            tell.send(connection.write_all(&answer).await).unwrap();
        }
    });
    let client = TcpStream::connect(address).unwrap();
    let written = in_time(told.recv()).await.unwrap();
    let error = written.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("has read nothing"), "{error}");
    drop(client);
    assert_eq!(counts(&server.report().await), [1, 0, 0, 0]);
}

#[tokio::test]
async fn an_adopted_listener_serves_and_is_left_to_its_other_owners() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let listener = NetListener::from_std(theirs.try_clone().unwrap()).unwrap();
    let server = Running::start(Server::new(), listener, answer);
    let client = TcpStream::connect(address).unwrap();
    let answered = beside(move || ask(client, "hello"));
    assert_eq!(answered.await.unwrap(), "hello");
    assert_eq!(counts(&server.report().await), [1, 0, 0, 0]);
    TcpStream::connect(address).unwrap();
}

#[tokio::test]
async fn a_listener_that_another_owner_shuts_down_begins_a_drain() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = NetListener::from_std(theirs.try_clone().unwrap()).unwrap();
    let server = Running::start(Server::new(), listener, answer);
    rustix::net::shutdown(&theirs, Shutdown::Read).unwrap();
    assert_eq!(counts(&server.result().await), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_port_can_be_used_again_at_once() {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    // Our end closes first, and stays in TIME_WAIT.
    drop(in_time(listener.accept()).await.unwrap());
    drop(listener);
    drop(client);
    let again = NetListener::bind(address, 1).unwrap();
    let error = NetListener::bind(address, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(tcp_address(again.net_addr().unwrap()), address);
}

#[tokio::test]
async fn accepted_connections_send_without_delay() {
    let (listener, address) = listener();
    let _client = TcpStream::connect(address).unwrap();
    let accepted = in_time(listener.accept()).await.unwrap();
    assert!(sockopt::tcp_nodelay(&accepted).unwrap());
}

#[tokio::test]
async fn a_listener_has_neither_a_path_nor_fd_passing() {
    let (mut listener, _) = listener();
    assert_eq!(listener.address(), None);
    listener.allow_fd_passing(false).unwrap();
    assert!(listener.allow_fd_passing(true).is_err());
}

#[tokio::test]
async fn what_does_not_listen_on_tcp_is_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let address = sockeye::Address::from_path(dir.path().join("s")).unwrap();
    let claim = Claim::options().claim(&address).unwrap();
    let unix = claim.as_fd().try_clone_to_owned().unwrap();
    let error = NetListener::adopt(unix).unwrap_err();
    assert!(matches!(error, AdoptError::NotNet), "{error}");
    let error = NetListener::from_claim(claim).unwrap_err().to_string();
    assert!(error.contains("NetListener takes TCP"), "{error}");
    assert!(error.ends_with("use Listener"), "{error}");
    let error = NetListener::open(&address, &Claim::options()).unwrap_err();
    assert!(matches!(error, ListenError::WrongKind(_)), "{error}");
    let (_listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let error = NetListener::adopt(client.into()).unwrap_err();
    assert!(matches!(error, AdoptError::NotListening), "{error}");
}

#[tokio::test]
async fn an_inherited_fd_is_opened() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("fd:{}", theirs.as_raw_fd());
    let listener = NetListener::open(&name.parse().unwrap(), &Claim::options()).unwrap();
    let address = theirs.local_addr().unwrap();
    assert_eq!(tcp_address(listener.net_addr().unwrap()), address);
}

#[tokio::test]
async fn vsock_is_listened_on() {
    let any = u32::MAX;
    let listener = match NetListener::bind_vsock(any, any, 1) {
        Ok(listener) => listener,
        Err(error) => {
            println!("skipped: there is no vsock: {error}");
            return;
        }
    };
    let shown = listener.net_addr().unwrap().to_string();
    let port = shown.strip_prefix("vsock:4294967295:").unwrap();
    assert_ne!(port.parse::<u32>().unwrap(), any, "the kernel has chosen");
    assert!(listener.try_accept().unwrap().is_none());
    let again = NetListener::bind_vsock(any, port.parse().unwrap(), 1);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    let server = Running::start(Server::new(), listener, answer);
    assert_eq!(counts(&server.report().await), [0, 0, 0, 0]);
}

#[test]
fn a_socket_address_is_shown_with_its_kind() {
    let shown = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        sockeye::net_stream::NetAddr::Tcp(address).to_string()
    };
    assert_eq!(shown("127.0.0.1:80"), "tcp:127.0.0.1:80");
    assert_eq!(shown("[::1]:80"), "tcp:[::1]:80");
}
