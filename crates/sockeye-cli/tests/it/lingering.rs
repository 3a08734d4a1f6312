//! A server that passes a file descriptor whose close(2) takes long does not keep its client.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use sockeye::ancillary::send_msg;

use crate::support::{Place, Process, sockeye};

/// A TCP socket with unsent data, whose last close(2) waits for ten minutes, and its peer.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (peer, _) = listener.accept().expect("a connection");
    socket.set_nonblocking(true).expect("our own");
    loop {
        match socket.write(&[b'x'; 65536]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    set_socket_linger(&socket, Some(Duration::from_secs(600))).expect("our own");
    (socket, peer)
}

#[test]
fn a_client_ends_though_it_is_the_last_to_close_a_lingering_socket() {
    for subcommand in ["send", "connect"] {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).expect("a fresh path");
        let mut command = sockeye();
        command.arg(subcommand).arg(place.socket());
        if subcommand == "send" {
            command.arg("hello");
        }
        let mut client = Process::spawn(&mut command);
        drop(client.stdin.take());
        let (mut stream, _) = listener.accept().expect("a client");
        stream.read_to_end(&mut Vec::new()).expect("a half-close");
        let (socket, _peer) = lingering();
        // So that the client closes it after us.
        client.freeze();
        send_msg(&stream, b"answer\n", &[socket.as_fd()]).expect("sent");
        drop((socket, stream));
        client.thaw();
        let finished = client.finish();
        assert_eq!(finished.code, Some(7), "{subcommand}: {finished:?}");
        assert_eq!(finished.text(), "answer\n");
        assert!(
            finished.stderr.contains("1 file descriptor came"),
            "{finished:?}"
        );
    }
}
