//! The server behind a tap is killed, restarted, drained or taken over. The next one starts as if there
//! had been no tap.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::{ask, started};
use crate::support::{Place, Process, REPLY, Records, Server, eventually, python, run, sockeye};
use crate::takeover::clients::Clients;

/// Answers each client with its name; at SIGHUP it makes its socket anew, as most servers do at a restart.
const PYTHON_SERVER: &str = r#"
import os, signal, socket, sys
path, name = sys.argv[1:]

class Again(Exception):
    pass

def again(*_):
    raise Again

def serve(server):
    while True:
        client, _ = server.accept()
        client.sendall(name.encode())
        client.close()

signal.signal(signal.SIGHUP, again)
while True:
    try:
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(64)
            print("listening", flush=True)
            serve(server)
    except Again:
        pass
"#;

/// A server of that name, once it listens. `None` without python3.
fn python_server(path: &Path, name: &str) -> Option<Process> {
    let mut command: Command = python(PYTHON_SERVER)?;
    let server = Process::spawn(command.arg(path).arg(name));
    server
        .stdout
        .line("`listening`", |line| line == "listening");
    Some(server)
}

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

#[track_caller]
fn answers(path: &Path, name: &str) {
    assert_eq!(ask(path, b"").unwrap(), name.as_bytes());
}

/// The tap has given up the path, and left nothing in the directory but these.
#[track_caller]
fn has_ended(mut tap: Process, place: &Place, names: &[&str]) {
    let finished = tap.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(place.names(), names);
}

/// Stops a server. The path may still be the tap's.
#[track_caller]
fn drained(server: &mut Server) {
    server.terminate();
    let finished = server.process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("aborted 0"), "{finished:?}");
}

#[test]
fn the_server_is_killed_and_the_next_one_starts() {
    let place = Place::new();
    let path = place.socket();
    for round in 0..5 {
        let Some(mut server) = python_server(&path, "first") else {
            return;
        };
        let file = inode(&path);
        let tap = started(&[], &path);
        answers(&path, "first");
        server.signal(Signal::KILL);
        server.wait();
        has_ended(tap, &place, &["app.sock"]);
        // Its own file, dead, as without a tap.
        assert_eq!(inode(&path), file);
        if round % 2 == 0 {
            Server::start(&path, &[]).stop().is_clean();
            assert!(place.names().is_empty());
        } else {
            let _next = python_server(&path, "second");
            answers(&path, "second");
        }
    }
}

#[test]
fn the_server_makes_its_socket_anew_and_keeps_it() {
    let place = Place::new();
    let path = place.socket();
    let Some(server) = python_server(&path, "it") else {
        return;
    };
    for _ in 0..5 {
        let tap = started(&[], &path);
        answers(&path, "it");
        server.signal(Signal::HUP);
        has_ended(tap, &place, &["app.sock"]);
        answers(&path, "it");
    }
}

#[test]
fn another_server_puts_its_socket_in_place_of_the_tap() {
    let place = Place::new();
    let path = place.socket();
    let Some(_first) = python_server(&path, "first") else {
        return;
    };
    let tap = started(&[], &path);
    answers(&path, "first");
    let _second = python_server(&path, "second");
    let file = inode(&path);
    has_ended(tap, &place, &["app.sock"]);
    assert_eq!(inode(&path), file);
    answers(&path, "second");
}

#[test]
fn a_server_is_drained_behind_a_tap() {
    let place = Place::new();
    for _ in 0..5 {
        let mut server = Server::start(place.socket(), &[]);
        let tap = started(&[], &place.socket());
        let mut open = server.client();
        open.send("one\n");
        assert_eq!(open.line(), REPLY);
        // What is sent now may be with the tap when the server stops reading.
        server.terminate();
        assert_eq!(
            open.rest(),
            b"",
            "the end of the server's side is passed on"
        );
        drop(open);
        drained(&mut server);
        has_ended(tap, &place, &[]);
    }
}

#[test]
fn servers_of_records_and_datagrams_are_drained_behind_a_tap() {
    for kind in ["seqpacket:", "dgram:"] {
        let place = Place::new();
        let address = format!("{kind}{}", place.socket().display());
        let address = Path::new(&address);
        let mut server = Server::start(address, &[]);
        let tap = started(&[], address);
        let sent = run(sockeye().arg("send").arg(address).arg("hello"));
        assert_eq!(sent.code, Some(0), "{sent:?}");
        drained(&mut server);
        has_ended(tap, &place, &[]);
    }
}

#[test]
fn a_seqpacket_server_is_taken_over_behind_a_tap() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket().display());
    let address = Path::new(&address);
    let mut server = Server::start(address, &["--takeover"]);
    let tap = started(&[], address);
    for _ in 0..5 {
        let next = Server::start(address, &["--takeover"]);
        assert_eq!(server.process.wait().code(), Some(0));
        server = next;
        let client = Records::connect(place.socket());
        client.converse("hello");
    }
    drained(&mut server);
    has_ended(tap, &place, &[]);
}

#[test]
fn a_server_that_is_started_right_after_the_last_one_finds_the_path_free_in_time() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    for _ in 0..5 {
        let tap = started(&[], &place.socket());
        drained(&mut server);
        // The tap may still be at the path, which is in use then.
        let next = eventually("the next server starts", || {
            let mut next = Process::spawn(Server::command(&[]).arg(place.socket()));
            let line = next.stderr.first_lines(1).pop()?;
            if line.contains("listening on ") {
                return Some(next);
            }
            next.finish().fails(4, &["stop that one or choose another"]);
            None
        });
        has_ended(tap, &place, &["app.sock", "app.sock.lock"]);
        server = Server {
            process: next,
            path: place.socket(),
            greeting: String::new(),
        };
        assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    }
    server.stop().is_clean();
    assert!(place.names().is_empty());
}

#[test]
fn a_server_is_taken_over_behind_a_tap_and_no_client_notices() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--takeover"]);
    let file = inode(&place.socket());
    let mut tap = started(&["--summary"], &place.socket());
    let clients = Clients::start(4, &place.socket());
    for _ in 0..20 {
        let enough = clients.answered() + 20;
        eventually("clients are served", || {
            (clients.answered() >= enough).then_some(())
        });
        let next = Server::start(place.socket(), &["--takeover"]);
        assert_eq!(server.process.wait().code(), Some(0));
        assert_eq!(inode(&place.at(".app.sock.tap")), file);
        server = next;
    }
    clients.finish();
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(inode(&place.socket()), file);
    assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    server.stop().is_clean();
    assert!(place.names().is_empty());
}

#[test]
fn the_last_of_several_servers_behind_a_tap_is_drained() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--takeover"]);
    let tap = started(&[], &place.socket());
    for _ in 0..3 {
        let next = Server::start(place.socket(), &["--takeover"]);
        assert_eq!(server.process.wait().code(), Some(0));
        server = next;
        assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    }
    drained(&mut server);
    has_ended(tap, &place, &[]);
}

#[test]
fn the_mode_of_a_successor_is_that_of_the_path() {
    let place = Place::new();
    let first = Server::start(place.socket(), &["--takeover"]);
    let mut tap = started(&[], &place.socket());
    let _second = Server::start(place.socket(), &["--takeover", "--mode", "660"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&place.at(".app.sock.tap")), 0o660);
    eventually("the tap lets in whom the server does", || {
        (mode(&place.socket()) == 0o660).then_some(())
    });
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(mode(&place.socket()), 0o660);
    drop(first);
}

#[test]
fn sighup_restarts_a_server_behind_a_tap() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--takeover"]);
    let file = inode(&place.socket());
    let mut tap = started(&[], &place.socket());
    server.process.signal(Signal::HUP);
    let line = server.process.stderr.line("a successor", |line| {
        line.starts_with("handed over to pid ")
    });
    let pid = line.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    assert_eq!(inode(&place.at(".app.sock.tap")), file);
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(inode(&place.socket()), file);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    server.await_release();
    assert!(place.names().is_empty());
}

#[test]
fn a_second_server_is_refused_at_the_path_of_a_tap() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let _tap = started(&[], &place.socket());
    let before = place.snapshot();
    run(Server::command(&[]).arg(place.socket())).fails(4, &["a running server owns it"]);
    assert_eq!(place.snapshot(), before);
    drop(server);
}
