//! A reset is no success: the kernel tells `send` and `connect` that a part of what they sent was
//! never read, whatever was answered before.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    self, AddressFamily, SendFlags, SocketAddrUnix, SocketType, accept, bind, listen, socket,
};

use crate::support::{Finished, Place, run, run_with_input, serve_once, sockeye};

const UNREAD: &str = "before it had read everything";

/// Both clients with `input`.
fn clients(path: &Path, input: &str, mut serve: impl FnMut(), mut check: impl FnMut(&Finished)) {
    for client in [
        &["send"] as &[&str],
        &["send", "--no-shutdown"],
        &["send", "--busy-poll", "100us"],
        &["connect"],
    ] {
        let _ = std::fs::remove_file(path);
        serve();
        let ended = run_with_input(sockeye().args(client).arg(path), input);
        check(&ended);
    }
}

#[test]
fn a_server_that_closes_with_a_message_unread_is_exit_1_and_its_answer_is_printed() {
    let place = Place::new();
    for (name, kind) in [
        ("stream", SocketType::STREAM),
        ("seqpacket", SocketType::SEQPACKET),
    ] {
        for answer in ["", "partly"] {
            let path = place.at(format!("{name}{answer}"));
            let listener = socket(AddressFamily::UNIX, kind, None).expect("a socket");
            bind(&listener, &SocketAddrUnix::new(&path).expect("short")).expect("a fresh path");
            listen(&listener, 1).expect("bound");
            let server = thread::spawn(move || {
                let client = accept(&listener).expect("it connects");
                let mut state = [PollFd::new(&client, PollFlags::IN)];
                poll(&mut state, None).expect("a message");
                if !answer.is_empty() {
                    net::send(&client, answer.as_bytes(), SendFlags::NOSIGNAL).expect("room");
                }
                // Dropped with the message unread.
            });
            let address = format!("{name}:{}", path.display());
            let sent = run(sockeye().args(["send", &address, "hello"]));
            assert_eq!(sent.code, Some(1), "{sent:#?}");
            assert_eq!(sent.text().trim_end(), answer);
            sent.explains(&[&address, "before it had read everything"]);
            server.join().expect("served");
        }
    }
}

/// The server that reads a line of two and closes.
#[test]
fn a_server_that_reads_a_part_of_the_message_is_exit_1_and_its_answer_is_printed() {
    for answer in ["", "partly\n"] {
        let place = Place::new();
        let path = place.socket();
        let serve = || {
            serve_once(&path, move |mut stream: UnixStream| {
                let mut state = [PollFd::new(&stream, PollFlags::IN)];
                poll(&mut state, None).expect("a message");
                stream.read_exact(&mut [0; 4]).expect("the first line");
                stream.write_all(answer.as_bytes()).expect("written");
            });
        };
        clients(&path, "one\ntwo\n", serve, |ended| {
            ended.explains(&[path.to_str().expect("plain"), UNREAD]);
            assert_eq!(ended.code, Some(1), "{ended:#?}");
            assert_eq!(ended.text(), answer);
        });
    }
}

#[test]
fn a_server_that_never_accepts_is_exit_1_also_for_nothing() {
    for input in ["hello\n", ""] {
        let place = Place::new();
        let path = place.socket();
        let serve = || {
            let listener = UnixListener::bind(&path).expect("a fresh path");
            thread::spawn(move || {
                let mut state = [PollFd::new(&listener, PollFlags::IN)];
                poll(&mut state, None).expect("a client in the backlog");
            });
        };
        clients(&path, input, serve, |ended| {
            ended.fails(1, &[path.to_str().expect("plain"), UNREAD]);
        });
    }
}
