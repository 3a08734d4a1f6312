//! `serve --once`: one connection, or one datagram.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;

use crate::support::{
    Client, PATIENCE, Place, Process, REPLY, Server, as_other_user, bound, copy_of_sockeye,
    is_root, receive, run, skipped, sockeye,
};

#[test]
fn one_connection_is_served_for_as_long_as_it_takes() {
    for kind in ["", "seqpacket:"] {
        let place = Place::new();
        let address = format!("{kind}{}", place.socket().display());
        let mut command = Server::command(&["--once", "--drain", "0"]);
        let mut server = Server::started_by(command.arg(&address), place.socket());
        let mut client = Process::spawn_piped(sockeye().args(["connect", &address]));
        for count in 1..=3 {
            let stdin = client.stdin.as_mut().expect("piped");
            std::io::Write::write_all(stdin, b"hello\n").expect("read");
            client.stdout.first_lines(count);
            // From its accept on nobody else comes in, and it is not shut down itself.
            run(sockeye().args(["send", &address, "late"])).fails(3, &[]);
        }
        client.finish().succeeds();
        let ending = server.ending();
        assert_eq!(ending.is_clean().served, 1);
        assert_eq!(ending.stdout.lines().count(), 3);
    }
}

#[test]
fn one_datagram_is_answered() {
    let place = Place::new();
    let address = format!("dgram:{}", place.socket().display());
    let mut command = Server::command(&["--once"]);
    let mut server = Server::started_by(command.arg(&address), place.socket());
    server.process.freeze();
    let client = bound(place.at("client"));
    for datagram in ["one", "two", "three"] {
        client
            .send_to(datagram.as_bytes(), &server.path)
            .expect("it is bound");
    }
    server.process.thaw();
    assert_eq!(receive(&client), REPLY.as_bytes());
    let ending = server.ending();
    let report = ending.is_clean();
    assert_eq!((report.served, report.refused), (1, 2));
    assert!(ending.stdout.ends_with(": one\n"), "{ending:#?}");
}

/// From the first on: while its answer waits for room, for instance.
#[test]
fn a_sender_after_the_one_datagram_gets_an_error() {
    let place = Place::new();
    let address = format!("dgram:{}", place.socket().display());
    let mut command = Server::command(&["--once"]);
    let mut server = Server::started_by(command.arg(&address), place.socket());
    let (client, connected) = (bound(place.at("client")), bound(place.at("connected")));
    connected.connect(&server.path).expect("it is bound");
    client.send_to(b"one", &server.path).expect("it is bound");
    assert_eq!(receive(&client), REPLY.as_bytes());
    let later = client.send_to(b"two", &server.path).map_err(|e| e.kind());
    assert_eq!(later, Err(ErrorKind::NotFound));
    // The server may have ended by now.
    connected.send(b"three").expect_err("nobody receives it");
    let report = server.ending().is_clean();
    assert_eq!((report.served, report.refused), (1, 0));
}

#[test]
fn who_waits_behind_the_one_is_closed_and_counted() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--once"]);
    server.process.freeze();
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    server.process.thaw();
    for mut behind in clients.drain(1..) {
        assert_eq!(behind.rest(), b"");
    }
    let mut first = clients.remove(0);
    first.send("hello\n");
    first.finish();
    assert_eq!(first.rest(), format!("{REPLY}\n").into_bytes());
    let report = server.ending().is_clean();
    assert_eq!((report.served, report.refused), (1, 2));
}

#[test]
fn a_client_that_may_not_call_is_not_the_one() {
    if !is_root() {
        return skipped("needs root, to be two users");
    }
    let place = Place::new();
    let copy = copy_of_sockeye(&place);
    let Some(mut nobody) = as_other_user(copy.as_os_str()) else {
        return;
    };
    let options = ["--once", "--mode", "0666", "--allow-user", "1"];
    let mut server = Server::start(place.socket(), &options);
    let sent = run(nobody.arg("send").arg(&server.path).arg("hello"));
    assert_eq!(sent.text(), "");
    assert_eq!(server.ask("hello\n"), format!("{REPLY}\n"));
    let report = server.ending().is_clean();
    assert_eq!((report.served, report.refused), (1, 1));
}

#[test]
fn a_program_is_waited_for() {
    let place = Place::new();
    let mut command = Server::command(&["--once", "--drain", "0"]);
    command.arg(place.socket());
    command.args(["--", "sh", "-c", "read line; sleep 0.3; echo \"$line\""]);
    let mut server = Server::started_by(&mut command, place.socket());
    assert_eq!(server.ask("to and fro\n"), "to and fro\n");
    assert_eq!(server.ending().is_clean().served, 1);
}

#[test]
fn a_signal_drains_the_one() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--once"]);
    let mut client = server.client();
    client.send("hello\n");
    client.line();
    let report = server.stop().is_clean();
    assert_eq!((report.served, report.drained), (0, 1));
}

#[test]
fn an_inherited_listener_is_left_to_its_other_owners() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"exec "$0" serve --once fd:0"#,
        env!("CARGO_BIN_EXE_sockeye"),
    ]);
    let fd = std::os::fd::OwnedFd::from(listener.try_clone().expect("a duplicate"));
    let child = command
        .stdin(fd)
        .stderr(std::process::Stdio::piped())
        .spawn();
    let child = child.expect("started");
    let mut first = Client::connect(place.socket());
    first.send("hello\n");
    first.line();
    let behind = UnixStream::connect(place.socket()).expect("others may serve it");
    first.finish();
    let output = child.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    // What it was found at is told.
    let shown = format!("listening on fd:0 ({})", place.socket().display());
    assert!(said.contains(&shown), "{said}");
    let name = format!("sockeye-test-{}-adopted", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let abstract_one = UnixListener::bind_addr(&address).expect("a fresh name");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command.args(["serve", "--once", "fd:0"]);
    command.stdin(std::os::fd::OwnedFd::from(abstract_one));
    let child = command.stderr(std::process::Stdio::piped()).spawn();
    drop(command);
    let mut client = Client::connect_abstract(name.as_bytes());
    client.send("hello\n");
    client.finish();
    let output = child.expect("started").wait_with_output();
    let said = String::from_utf8(output.expect("our own child").stderr).expect("text");
    assert!(
        said.contains(&format!("listening on fd:0 (@{name})")),
        "{said}"
    );
    let (accepted, _) = listener.accept().expect("it still waits");
    accepted.set_read_timeout(Some(PATIENCE)).expect("not zero");
    drop(behind);
}
