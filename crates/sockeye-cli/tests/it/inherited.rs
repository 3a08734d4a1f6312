//! Descriptors that come from whoever started the server: a listener, standard output.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketType};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, Place, Process, REPLY, Server, run, sockeye};

#[test]
fn a_listener_that_was_passed_on_is_served_and_not_removed() {
    let place = Place::new();
    // A blocking one: it must not hang the server.
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let before = place.snapshot();
    let mut child = Server::command(&["--drain", "60s"])
        .arg("fd:0")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    // It was listening all along, so this waits for the server by itself.
    let mut first = Client::connect(place.socket());
    first.converse("first");
    let mut second = Client::connect(place.socket());
    second.send("hal");
    first.converse("again");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("our own child");
    assert_eq!(first.rest(), b"", "idle: so the drain has begun");
    second.send("f\n");
    assert_eq!(second.line(), REPLY);
    assert_eq!(child.wait().expect("our own child").code(), Some(0));
    assert_eq!(place.snapshot(), before, "the file is not ours to remove");
}

/// As a service manager may do, or `--inetd-listener`.
#[test]
fn a_listener_that_another_owner_shuts_down_has_come_to_its_end() {
    for (kind, r#type) in [
        ("unix", SocketType::STREAM),
        ("seqpacket", SocketType::SEQPACKET),
        ("dgram", SocketType::DGRAM),
    ] {
        let place = Place::new();
        let listener = rustix::net::socket(AddressFamily::UNIX, r#type, None).expect("a socket");
        let name = SocketAddrUnix::new(place.socket()).expect("it is short");
        rustix::net::bind(&listener, &name).expect("a fresh path");
        if r#type != SocketType::DGRAM {
            rustix::net::listen(&listener, 5).expect("it is bound");
        }
        let mut command = Server::command(&[]);
        let passed = listener.try_clone().expect("a descriptor is free");
        command.arg(format!("{kind}:fd:0"));
        let mut server = Process::spawn_reading(&mut command, Stdio::from(passed));
        let address = format!("{kind}:{}", place.socket().display());
        run(sockeye().args(["send", &address, "hello"])).succeeds();
        let mut client = (kind == "unix").then(|| {
            let mut client = Client::connect(place.socket());
            client.converse("first");
            client.send("hal");
            client
        });
        rustix::net::shutdown(&listener, Shutdown::Read).expect("it is ours too");
        server
            .stderr
            .line("its end", |line| line.contains("has shut it down"));
        if let Some(client) = &mut client {
            client.send("f\n");
            assert_eq!(client.line(), REPLY);
        }
        let ended = server.finish();
        assert_eq!(ended.code, Some(0), "{kind} {ended:#?}");
        assert!(
            ended.stderr.contains("accept errors 0"),
            "{kind} {ended:#?}"
        );
        assert!(place.socket().exists(), "the file is not ours to remove");
    }
}

#[test]
fn what_was_passed_on_is_looked_at_first() {
    let place = Place::new();
    let file = fs::File::create(place.at("file")).expect("our own place");
    let (connected, _other) = UnixStream::pair().expect("a pair");
    for stdin in [
        Stdio::null(),
        Stdio::from(file),
        Stdio::from(OwnedFd::from(connected)),
    ] {
        let tried = Server::command(&[])
            .arg("fd:0")
            .stdin(stdin)
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&tried.stderr);
        assert!(tried.status.code().is_some_and(|code| code != 0), "{said}");
        assert!(
            said.starts_with("sockeye: ") && said.lines().count() == 1,
            "{said}"
        );
    }
    for subcommand in ["serve", "send", "connect"] {
        let tried = run(sockeye().args([subcommand, "fd:77"]));
        assert!(tried.code.is_some_and(|code| code != 0), "{tried:#?}");
        tried.explains(&["77"]);
    }
}

/// A pipe that nobody reads holds up the lines, and must not hold up the end.
#[test]
fn a_reader_that_does_not_read_cannot_keep_the_server_alive() {
    let place = Place::new();
    let mut command = Server::command(&["--drain", "300ms"]);
    let mut child = command
        .arg(place.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let unread = child.stdout.take().expect("piped");
    let mut client = crate::support::eventually("it listens", || {
        UnixStream::connect(place.socket()).ok()?;
        Some(Client::connect(place.socket()))
    });
    // Lines for several pipes full, until nothing goes any more.
    client.send_until_stuck(|_| b'\n');
    kill_process(Pid::from_child(&child), Signal::TERM).expect("our own child");
    client
        .stream()
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("not zero");
    let mut answers = Vec::new();
    let _ = { client.stream() }.read_to_end(&mut answers);
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("text");
    assert_eq!(
        child.wait().expect("our own child").code(),
        Some(7),
        "{said}"
    );
    assert!(!place.socket().exists(), "and its file is gone");
    drop(unread);
}

/// `sockeye serve … | head -1`: nobody would see what is done from then on.
#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let place = Place::new();
    let mut child = Server::command(&[])
        .arg(place.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let mut client = crate::support::eventually("it listens", || {
        UnixStream::connect(place.socket()).ok()?;
        Some(Client::connect(place.socket()))
    });
    client.send("hello\n");
    client.finish();
    let mut answer = Vec::new();
    let _ = { client.stream() }.read_to_end(&mut answer);
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("text");
    let code = child.wait().expect("our own child").code();
    assert!(!said.contains("panicked"), "{said}");
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
    assert!(!place.socket().exists(), "its file is gone");
}

/// A duplicate of the one gets the lowest free number, which must not be taken for the other.
#[test]
fn a_number_that_was_not_passed_is_not_one_of_ours() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    for (passed, words) in [
        (
            "3<&0 4<&-",
            ["--ready-fd 4", "file descriptor 4 is not open"],
        ),
        ("3<&- 4<&0", ["fd:3", "file descriptor 3 is not open"]),
    ] {
        let script = format!(r#"exec "$0" serve --ready-fd 4 fd:3 {passed}"#);
        let tried = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_sockeye")])
            .stdin(OwnedFd::from(listener.try_clone().expect("a duplicate")))
            .output()
            .expect("started");
        let said = String::from_utf8_lossy(&tried.stderr);
        assert_eq!(tried.status.code(), Some(2), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}
