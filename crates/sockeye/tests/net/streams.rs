//! [`NetStream`]: reading, writing, half-close, resets, names.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown as StdShutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt;
use sockeye::{AdoptError, NetStream, Peer, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{beside, in_time, pair};

const MANY: usize = 8 << 20;

#[tokio::test]
async fn a_stream_carries_megabytes_both_ways() {
    let (ours, theirs) = pair();
    let (mut reader, mut writer) = tokio::io::split(ours);
    let mut theirs_too = theirs.try_clone().unwrap();
    let sent: Vec<u8> = (0..MANY).map(|index| (index / 7) as u8).collect();
    let (to_them, to_us) = (sent.clone(), sent.clone());
    let mut read = theirs;
    let write = async {
        writer.write_all(&to_them).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (received_there, (), received_here, ()) = tokio::join!(
        beside(move || {
            let mut all = Vec::new();
            read.read_to_end(&mut all).unwrap();
            all
        }),
        in_time(write),
        in_time(async {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        }),
        beside(move || {
            theirs_too.write_all(&to_us).unwrap();
            theirs_too.shutdown(StdShutdown::Write).unwrap();
        }),
    );
    assert!(received_there == sent && received_here == sent);
}

#[tokio::test]
async fn a_half_closed_stream_still_receives() {
    let (mut ours, mut theirs) = pair();
    ours.write_all(b"question").await.unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    theirs.read_to_string(&mut question).unwrap();
    theirs.write_all(b"answer").unwrap();
    drop(theirs);
    let mut answer = String::new();
    in_time(ours.read_to_string(&mut answer)).await.unwrap();
    assert_eq!((&*question, &*answer), ("question", "answer"));
}

#[tokio::test]
async fn a_reset_is_no_eof() {
    let (mut ours, theirs) = pair();
    ours.write_all(b"unread").await.unwrap();
    // What is unread when it closes resets the connection.
    let theirs = beside(move || {
        theirs.peek(&mut [0]).unwrap();
        theirs
    });
    drop(theirs.await);
    let error = in_time(ours.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_comes_behind_urgent_data_is_read() {
    let (mut ours, mut theirs) = pair();
    theirs.write_all(b"before").unwrap();
    rustix::net::send(&theirs, b"!", rustix::net::SendFlags::OOB).unwrap();
    theirs.write_all(b"behind").unwrap();
    drop(theirs);
    let mut all = String::new();
    in_time(ours.read_to_string(&mut all)).await.unwrap();
    assert_eq!(all, "beforebehind");
}

#[tokio::test]
async fn tcp_sends_without_delay() {
    let (ours, theirs) = pair();
    assert!(sockopt::tcp_nodelay(&ours).unwrap());
    assert!(!sockopt::tcp_nodelay(&theirs).unwrap(), "not by itself");
}

#[tokio::test]
async fn a_stream_has_addresses_and_no_peer_credentials() {
    let (ours, theirs) = pair();
    let address = format!("tcp:{}", theirs.peer_addr().unwrap());
    assert_eq!(ours.local_addr().unwrap().to_string(), address);
    let address = format!("tcp:{}", theirs.local_addr().unwrap());
    assert_eq!(ours.peer_addr().unwrap().to_string(), address);
    assert!(Peer::of(&ours).is_err());
}

#[tokio::test]
async fn a_peer_with_ipv4_is_shown_so_by_a_socket_of_ipv6() {
    let Ok(listener) = TcpListener::bind("[::]:0") else {
        println!("skipped: there is no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let ours = NetStream::from_std(listener.accept().unwrap().0).unwrap();
    let address = format!("tcp:{}", client.local_addr().unwrap());
    assert_eq!(ours.peer_addr().unwrap().to_string(), address);
}

#[tokio::test]
async fn what_is_no_connected_stream_is_not_adopted() {
    let of = |fd: OwnedFd| NetStream::adopt(fd).unwrap_err();
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(of(file.into()), AdoptError::NotNet));
    let (unix, _other) = UnixStream::pair().unwrap();
    assert!(matches!(of(unix.into()), AdoptError::NotNet));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let error = of(udp.into());
    assert!(matches!(error, AdoptError::NotNet));
    assert!(error.to_string().contains("TCP or vsock"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(of(listener.into()), AdoptError::Listening));
    let (family, kind) = (
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
    );
    let unconnected = rustix::net::socket(family, kind, None).unwrap();
    assert!(matches!(of(unconnected), AdoptError::NotConnected));
}

#[tokio::test]
async fn an_adopted_stream_is_close_on_exec() {
    let (client, _theirs) = pair();
    let fd = OwnedFd::from(client);
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).unwrap();
    let ours = NetStream::adopt(fd).unwrap();
    let flags = rustix::io::fcntl_getfd(ours.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}
