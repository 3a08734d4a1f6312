//! Connecting to the addresses of a relay, and listening on them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use sockeye::relay::{
    NetListenErrorKind, RelayAddress, TargetError, TargetErrorKind, TargetSocket, Targets,
};
use sockeye::{Claim, Connector, Listener, SeqPacketListener};
use tokio::io::AsyncReadExt;

use crate::support::{in_time, listener, tcp_address};

async fn connect(connector: &Connector, address: &str) -> Result<TargetSocket, TargetError> {
    let address: RelayAddress = address.parse().unwrap();
    in_time(connector.connect_target(&address)).await
}

async fn error_of(connector: &Connector, address: &str) -> TargetError {
    let error = connect(connector, address).await.unwrap_err();
    assert_eq!(error.address(), &address.parse().unwrap());
    assert_eq!(error.to_string().lines().count(), 1);
    error
}

/// A socket that is bound to a port, which nobody else gets, and does not listen.
fn bound() -> (OwnedFd, SocketAddr) {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = socket(family, kind, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    bind(&socket, &any).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_target_of_each_kind_is_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}", dir.path().display());
    let stream = path("stream");
    let _stream = Listener::open(&stream.parse().unwrap(), &Claim::options()).unwrap();
    let seqpacket = format!("seqpacket:{}", path("seqpacket"));
    let _seqpacket =
        SeqPacketListener::open(&seqpacket.parse().unwrap(), &Claim::options()).unwrap();
    let connector = Connector::new();
    let connected = connect(&connector, &stream).await.unwrap();
    assert!(matches!(connected, TargetSocket::Stream(_)));
    let connected = connect(&connector, &seqpacket).await.unwrap();
    assert!(matches!(connected, TargetSocket::SeqPacket(_)));

    let (listener, address) = listener();
    let connected = connect(&connector, &format!("tcp:{address}"))
        .await
        .unwrap();
    let TargetSocket::Net(client) = connected else {
        panic!("{connected:?}");
    };
    let accepted = in_time(listener.accept()).await.unwrap();
    assert_eq!(client.local_addr().unwrap(), accepted.peer_addr().unwrap());
    assert!(rustix::net::sockopt::tcp_nodelay(&client).unwrap());
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    // On a machine where it is ::1 too, that is refused first.
    let (listener, address) = listener();
    let name = format!("tcp:localhost:{}", address.port());
    connect(&Connector::new(), &name).await.unwrap();
    in_time(listener.accept()).await.unwrap();
}

#[tokio::test]
async fn what_is_found_at_a_target_is_named() {
    let connector = Connector::new();
    let (_bound, address) = bound();
    let free = format!("tcp:{address}");
    let error = error_of(&connector, &free).await;
    assert!(matches!(error.kind(), TargetErrorKind::NobodyListens));
    assert_eq!(error.attempts().len(), 1);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "cannot connect to {free}: nobody listens on that port ({free}: "
        )),
        "{text}"
    );
    assert!(text.contains("start the server"), "{text}");

    // A label has at most 63 bytes, so that no name server is asked.
    let unknown = format!("tcp:{}.:80", "h".repeat(64));
    let error = error_of(&connector, &unknown).await;
    assert!(matches!(error.kind(), TargetErrorKind::UnknownHost(_)));
    assert!(error.to_string().contains("check the name"), "{error}");

    for (address, text) in [("-", "standard input"), ("dgram:/tmp/d", "datagram socket")] {
        let error = error_of(&connector, address).await;
        assert!(matches!(error.kind(), TargetErrorKind::NotATarget));
        assert!(error.to_string().contains(text), "{error}");
    }

    let absent = "/sockeye-test-absent/app.sock";
    let error = error_of(&connector, absent).await;
    let plain = connector.connect(&absent.parse().unwrap()).await;
    assert!(matches!(error.kind(), TargetErrorKind::Unix(_)));
    assert_eq!(error.to_string(), plain.unwrap_err().to_string());
}

#[tokio::test]
async fn a_tcp_server_that_comes_later_is_waited_for() {
    let (bound, address) = bound();
    let target: RelayAddress = format!("tcp:{address}").parse().unwrap();
    let connector = Connector::new().wait_for(Duration::from_secs(20));
    let mut connect = pin!(connector.connect_target(&target));
    // Nobody is there at first.
    assert!(futures_util::poll!(&mut connect).is_pending());
    listen(&bound, 1).unwrap();
    in_time(connect).await.unwrap();
    TcpListener::from(bound).accept().unwrap();
}

#[tokio::test]
async fn a_tcp_server_that_does_not_come_is_not_waited_for_longer() {
    let wait = Duration::from_millis(5);
    let connector = Connector::new().wait_for(wait);
    let (_bound, address) = bound();
    let error = error_of(&connector, &format!("tcp:{address}")).await;
    assert_eq!(error.waited(), Some(wait));
    assert!(
        error.to_string().contains("after 5ms of waiting"),
        "{error}"
    );
}

#[tokio::test]
async fn a_tcp_server_that_does_not_answer_is_given_up() {
    // With a full backlog the kernel drops what comes (listen(2)).
    let (full, address) = bound();
    listen(&full, 0).unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let limit = Duration::from_millis(20);
    let connector = Connector::new().connect_timeout(limit);
    let error = error_of(&connector, &format!("tcp:{address}")).await;
    assert!(
        matches!(error.kind(), TargetErrorKind::TimedOut { limit: Some(_) }),
        "{error}"
    );
    assert!(
        error.to_string().contains("no answer within 20ms"),
        "{error}"
    );
    // Nobody may come later where somebody listens.
    let connector = connector.wait_for(Duration::from_secs(1000));
    let error = error_of(&connector, &format!("tcp:{address}")).await;
    assert_eq!(error.waited(), None);
}

#[tokio::test]
async fn the_next_target_takes_the_clients_of_one_that_is_down() {
    let (listener, address) = listener();
    let (_bound, free) = bound();
    let dir = tempfile::tempdir().unwrap();
    let unix = dir.path().join("absent.sock");
    let addresses = [
        unix.to_str().unwrap().to_owned(),
        format!("tcp:{free}"),
        format!("tcp:{address}"),
    ];
    let targets = Targets::new(addresses.iter().map(|text| text.parse().unwrap())).unwrap();
    let connector = Connector::new();
    for _ in 0..3 {
        let (used, socket) = in_time(targets.connect(&connector)).await.unwrap();
        assert_eq!(used.to_string(), addresses[2]);
        assert!(matches!(socket, TargetSocket::Net(_)));
        in_time(listener.accept()).await.unwrap();
    }
    drop(listener);
    let error = in_time(targets.connect(&connector)).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.errors().len(), 3);
    for address in &addresses {
        assert!(text.contains(address), "{text}");
    }
}

#[tokio::test]
async fn tcp_is_listened_on() {
    let address: RelayAddress = "tcp:localhost:0".parse().unwrap();
    let listener = address.listen(16).unwrap();
    let bound = tcp_address(listener.net_addr().unwrap());
    let mut client = TcpStream::connect(bound).unwrap();
    let mut accepted = in_time(listener.accept()).await.unwrap();
    std::io::Write::write_all(&mut client, b"hello").unwrap();
    drop(client);
    let mut text = String::new();
    in_time(accepted.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_listener_is_named() {
    let (_listener, taken) = listener();
    let unknown = format!("tcp:{}.:80", "h".repeat(64));
    let taken = format!("tcp:{taken}");
    let cases = [
        (&*taken, NetListenErrorKind::InUse, "choose another one"),
        // Reserved for documentation (RFC 5737).
        (
            "tcp:192.0.2.1:0",
            NetListenErrorKind::NotThisMachine,
            "0.0.0.0",
        ),
        (&*unknown, NetListenErrorKind::UnknownHost, "check the name"),
        ("-", NetListenErrorKind::NotNet, "standard input"),
        ("/run/app.sock", NetListenErrorKind::NotNet, "UNIX"),
    ];
    for (text, kind, hint) in cases {
        let address: RelayAddress = text.parse().unwrap();
        let error = address.listen(1).unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(
            shown.starts_with(&format!("cannot listen on {text}: ")),
            "{shown}"
        );
        assert!(shown.contains(hint), "{shown}");
        assert_eq!(shown.lines().count(), 1);
    }
}

#[tokio::test]
async fn vsock_is_listened_on_by_its_address() {
    let address: RelayAddress = "vsock:any:4294967295".parse().unwrap();
    match address.listen(1) {
        Ok(listener) => {
            let shown = listener.net_addr().unwrap().to_string();
            let address: RelayAddress = shown.parse().unwrap();
            let error = address.listen(1).unwrap_err();
            assert_eq!(error.kind(), NetListenErrorKind::InUse, "{error}");
        }
        Err(error) => {
            println!("skipped: there is no vsock");
            assert!(error.to_string().contains("load its module"), "{error}");
        }
    }
}
