//! What is lost for want of our resources is counted, and is no exit 0; who breaks a rule is not.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{PATIENCE, Place, REPLY, Records, Server};

/// Runs `clients` against a server, which closes them, and stops it then. So many count as aborted.
#[track_caller]
fn aborted(kind: &str, options: &[&str], clients: impl FnOnce(&Server)) -> u64 {
    let place = Place::new();
    let address = format!("{kind}:{}", place.socket().display());
    let mut server = Server::started_by(Server::command(options).arg(address), place.socket());
    clients(&server);
    let ending = server.stop();
    match ending.code {
        Some(0) => ending.is_clean().aborted,
        _ => ending.was_cut().aborted,
    }
}

fn says(server: &Server, words: &str) {
    let line = |line: &str| line.contains(words);
    server.process.stderr.line(words, line);
}

/// Sends as much as there is room for.
fn fill(mut stream: &UnixStream) {
    stream.set_nonblocking(true).expect("our own");
    loop {
        match stream.write(&[b'x'; 64 << 10]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_message_that_is_too_long_is_its_clients_loss() {
    for framing in [&["--framing", "line"][..], &["--framing", "length"]] {
        let options = [&["--max-message", "10"], framing].concat();
        let lost = aborted("unix", &options, |server| {
            let mut client = server.client();
            client.send("\0\0\0\x10 more than ten bytes\n");
            client.is_cut();
            says(server, "--max-message allows longer ones");
        });
        assert_eq!(lost, 0, "{framing:?}");
    }
    let options = ["--max-message", "10"];
    let lost = aborted("seqpacket", &options, |server| {
        let client = Records::connect(&server.path);
        client.send(&[b'x'; 11]);
        client.is_cut();
    });
    assert_eq!(lost, 0);
}

#[test]
fn a_message_that_is_not_complete_in_time_is_its_clients_loss() {
    for option in ["--message-timeout", "--idle-timeout"] {
        let lost = aborted("unix", &[option, "100ms"], |server| {
            let mut client = server.client();
            client.converse("a whole one");
            client.send("begun");
            client.is_cut();
            says(server, "5 bytes of a message");
        });
        assert_eq!(lost, 0, "{option}");
    }
}

#[test]
fn a_timeout_with_nothing_under_way_loses_nothing() {
    for (option, sends) in [("--idle-timeout", true), ("--first-byte-timeout", false)] {
        for answer in [&["--echo"][..], &[]] {
            let options = [&[option, "100ms"], answer].concat();
            let lost = aborted("unix", &options, |server| {
                let mut client = server.client();
                if sends {
                    client.send("hello\n");
                    client.line();
                }
                client.is_cut();
            });
            assert_eq!(lost, 0, "{options:?}");
        }
        let lost = aborted("seqpacket", &[option, "100ms"], |server| {
            let client = Records::connect(&server.path);
            if sends {
                client.converse("hello");
            }
            client.is_cut();
        });
        assert_eq!(lost, 0, "{option}");
    }
}

#[test]
fn a_client_that_ends_inside_of_a_message_has_lost_it_itself() {
    let lost = aborted("unix", &["--framing", "length"], |server| {
        let mut client = server.client();
        client.send("\0\0\0\x10begun");
        client.finish();
        client.is_cut();
        says(server, "9 bytes of a message and then EOF");
    });
    assert_eq!(lost, 0);
}

#[test]
fn an_answer_that_is_not_taken_in_time_is_its_clients_loss() {
    let answer = "y".repeat(100_000);
    for options in [&["--echo"][..], &["--reply", &answer]] {
        let options = [&["--idle-timeout", "200ms"], options].concat();
        let lost = aborted("unix", &options, |server| {
            let mut client = server.client();
            client.send("hello\n".repeat(100));
            fill(client.stream());
            let mut fds = [PollFd::new(client.stream(), PollFlags::empty())];
            let patience = Timespec::try_from(PATIENCE).expect("seconds");
            assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "it is closed");
        });
        assert_eq!(lost, 0, "{:?}", options[2]);
    }
}

#[test]
fn whoever_has_to_make_room_for_others_is_counted() {
    let options = ["--max-buffered", "1MiB", "--max-message", "1MiB"];
    let lost = aborted("unix", &options, |server| {
        let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send(vec![b'x'; 400_000]);
        }
        says(server, "(--max-buffered); its connection is closed");
        let served = clients.into_iter().filter_map(|mut client| {
            client.stream().write_all(b"\n").ok()?;
            client.finish();
            (client.rest_or_reset() == format!("{REPLY}\n").as_bytes()).then_some(())
        });
        assert_eq!(served.count(), 2, "the others are served");
    });
    assert_eq!(lost, 1);
}
