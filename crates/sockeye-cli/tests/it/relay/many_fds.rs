//! As many file descriptors as a message can have, through two relays in a row.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use sockeye::ancillary::{MAX_DESCRIPTORS, recv_msg, send_msg};

use super::start;
use crate::support::{Place, Server, eventually, is_root, skipped};

fn send(stream: &UnixStream, bytes: &[u8]) {
    let file = File::open("/dev/null").expect("Linux");
    let files = vec![file.as_fd(); MAX_DESCRIPTORS];
    send_msg(stream, bytes, &files).expect("it fits");
}

/// How many came with at most so many bytes, and how many bytes; `None` at EOF.
#[track_caller]
fn receive(stream: &UnixStream, most: usize) -> Option<(usize, usize)> {
    let received = recv_msg(stream, &mut vec![0; most]).expect("no reset");
    received.map(|received| (received.bytes, received.descriptors.len()))
}

#[test]
fn they_come_with_the_body_of_a_message_whose_header_is_read_alone() {
    const ROUNDS: usize = 3;
    let place = Place::new();
    let target = UnixListener::bind(place.socket()).expect("a fresh path");
    let (inner, outer) = (place.at("inner"), place.at("outer"));
    let relays = [
        start(&[], &inner, &[place.socket()]),
        start(&[], &outer, &[&inner]),
    ];
    for body in [1, 100, 50_000] {
        let mut client = UnixStream::connect(&outer).expect("it listens");
        let (server, _) = target.accept().expect("the relays come");
        relays.iter().for_each(|relay| relay.process.freeze());
        let sending = thread::spawn(move || {
            for _ in 0..ROUNDS {
                client.write_all(&[b'h'; 16]).expect("there is room");
                send(&client, &vec![b'b'; body]);
            }
        });
        // With a short body all of it is queued before either relay reads anything.
        if body < 50_000 {
            sending.join().expect("there is room");
            relays.iter().for_each(|relay| relay.process.thaw());
        } else {
            relays.iter().for_each(|relay| relay.process.thaw());
            sending.join().expect("it is read");
        }
        for _ in 0..ROUNDS {
            let mut left = 16;
            while left > 0 {
                let (count, fds) = receive(&server, left).expect("a header");
                assert_eq!(fds, 0, "a body of {body} bytes");
                left -= count;
            }
            let first = receive(&server, 1);
            assert_eq!(first, Some((1, MAX_DESCRIPTORS)), "a body of {body} bytes");
            let mut left = body - 1;
            while left > 0 {
                let (count, fds) = receive(&server, left).expect("the body");
                assert_eq!(fds, 0, "a body of {body} bytes");
                left -= count;
            }
        }
        assert_eq!(receive(&server, 1), None);
    }
}

#[test]
fn eight_clients_pass_them_under_a_low_limit_of_open_files() {
    const CLIENTS: usize = 8;
    // Other users have a limit of fds in flight (ETOOMANYREFS).
    if !is_root() {
        skipped("not root");
        return;
    }
    let place = Place::new();
    let target = UnixListener::bind(place.socket()).expect("a fresh path");
    let limited = |front: &std::path::Path, target: &std::path::Path| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -n 600; exec \"$0\" relay \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_sockeye"));
        Server::started_by(command.arg(front).arg(target), front)
    };
    let (inner, outer) = (place.at("inner"), place.at("outer"));
    let relays = [limited(&inner, &place.socket()), limited(&outer, &inner)];
    let open_files = || {
        relays.each_ref().map(|relay| {
            let dir = format!("/proc/{}/fd", relay.process.id());
            std::fs::read_dir(dir).expect("it runs").count()
        })
    };
    let before = open_files();
    let clients: Vec<UnixStream> = (0..CLIENTS)
        .map(|_| UnixStream::connect(&outer).expect("it listens"))
        .collect();
    relays.iter().for_each(|relay| relay.process.freeze());
    for client in &clients {
        send(client, b"here");
        let end = std::net::Shutdown::Write;
        client.shutdown(end).expect("connected");
    }
    relays.iter().for_each(|relay| relay.process.thaw());
    for _ in 0..CLIENTS {
        let (server, _) = target.accept().expect("each one comes");
        let first = receive(&server, 1);
        assert_eq!(first, Some((1, MAX_DESCRIPTORS)));
        assert_eq!(receive(&server, 10), Some((3, 0)));
        assert_eq!(receive(&server, 10), None);
    }
    drop(clients);
    eventually("as many open files as before", || {
        (open_files() == before).then_some(())
    });
}
