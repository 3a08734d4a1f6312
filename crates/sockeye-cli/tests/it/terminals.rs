//! A server started in a terminal, or with other outputs that are not read.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use sockeye::packet::BlockingSeqPacket;
use sockeye::{Address, Connector};

use crate::support::{Client, Place, Process, REPLY, terminal};

/// `sockeye serve OPTIONS ADDRESS` with this standard output and error, ready.
#[track_caller]
fn serve(output: &impl AsFd, address: &Address, options: &[&str]) -> Process {
    let (pid, fd) = (std::process::id(), output.as_fd().as_raw_fd());
    let script = r#"exec 3>&1; exec "$0" serve --ready-fd 3 "$@" >"$OUTPUT" 2>&1"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
    shell.env("OUTPUT", format!("/proc/{pid}/fd/{fd}"));
    let server = Process::spawn(shell.args(options).arg(address.to_string()));
    server.stdout.first_lines(1);
    server
}

/// Sends until nothing goes in any more.
fn flood(kind: &str, address: &Address) -> OwnedFd {
    let path = address.path().expect("a path");
    let line = [b'x'; 900];
    let (socket, mut send): (OwnedFd, Box<dyn FnMut() -> bool>) = match kind {
        "stream" => {
            let stream = UnixStream::connect(path).expect("a server");
            stream.set_nonblocking(true).expect("our own");
            let mut sender = stream.try_clone().expect("a duplicate");
            let send = move || sender.write_all(&line).and(sender.write_all(b"\n")).is_ok();
            (stream.into(), Box::new(send))
        }
        "dgram" => {
            let socket = UnixDatagram::unbound().expect("a socket");
            socket.connect(path).expect("a server");
            socket.set_nonblocking(true).expect("our own");
            let sender = socket.try_clone().expect("a duplicate");
            (socket.into(), Box::new(move || sender.send(&line).is_ok()))
        }
        _ => {
            let connected = Connector::new().connect_seqpacket_blocking(address);
            let socket: BlockingSeqPacket = connected.expect("a server");
            let fd = socket.as_fd().try_clone_to_owned().expect("a duplicate");
            rustix::io::ioctl_fionbio(&fd, true).expect("our own");
            (fd, Box::new(move || socket.send(&line).is_ok()))
        }
    };
    let mut stuck = 0;
    while stuck < 20 {
        if send() {
            stuck = 0;
        } else {
            stuck += 1;
            thread::sleep(Duration::from_millis(5));
        }
    }
    socket
}

#[track_caller]
fn others_are_served_and_it_ends(kind: &str, output: &impl AsFd, stop: impl FnOnce()) {
    let place = Place::new();
    let text = format!("{kind}:{}", place.socket().display());
    let address: Address = text.parse().expect("an address");
    let mut options = vec!["--drain", "300ms"];
    if kind != "dgram" {
        options.extend(["--first-byte-timeout", "300ms"]);
    }
    let mut server = serve(output, &address, &options);
    stop();
    let _flooder = flood(kind, &address);
    if kind == "stream" {
        // Only the event loop can tell that its time is over.
        assert_eq!(Client::connect(place.socket()).rest(), b"");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(7));
    assert!(!place.socket().exists());
}

#[test]
fn a_terminal_that_nobody_reads_holds_up_neither_others_nor_the_end() {
    for kind in ["stream", "seqpacket", "dgram"] {
        let (_master, slave) = terminal(80, 24);
        others_are_served_and_it_ends(kind, &slave, || {});
    }
}

#[test]
fn a_terminal_that_is_stopped_holds_up_neither_others_nor_the_end() {
    const CTRL_S: &[u8] = b"\x13";
    for kind in ["stream", "seqpacket", "dgram"] {
        let (mut master, slave) = terminal(80, 24);
        others_are_served_and_it_ends(kind, &slave, || master.write_all(CTRL_S).expect("a key"));
    }
}

#[test]
fn a_terminal_is_given_all_lines_until_the_last() {
    let place = Place::new();
    let address: Address = place
        .socket()
        .display()
        .to_string()
        .parse()
        .expect("an address");
    let (mut master, slave) = terminal(80, 24);
    let mut server = serve(&slave, &address, &[]);
    drop(slave);
    let mut client = Client::connect(place.socket());
    for number in 0..100 {
        client.send(format!("message {number}\n"));
        assert_eq!(client.line(), REPLY);
    }
    drop(client);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let mut text = Vec::new();
    // A terminal that nobody has open any more ends with an error (EIO).
    let _ = master.read_to_end(&mut text);
    let text = String::from_utf8(text).expect("text");
    let messages: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("received"))
        .collect();
    assert_eq!(messages.len(), 100, "{text}");
    for (number, line) in messages.iter().enumerate() {
        assert!(line.ends_with(&format!(": message {number}")), "{line}");
    }
    let last = text.lines().last().expect("a line");
    assert!(last.starts_with("stopped: served 1,"), "{text}");
}
