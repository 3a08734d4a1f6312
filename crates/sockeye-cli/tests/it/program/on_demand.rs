//! `--inetd-listener`: the listening socket itself, for one program that is started when needed.

use std::os::unix::fs::PermissionsExt;

use super::{script, serving};
use crate::support::{Client, Ending, Place, Records, Server, nameless, python, run};

/// Accepts the given number of connections and prints its environment and fds.
const ACCEPT: &str = r#"
import os, socket, sys
listener = socket.socket(fileno=3)
told = [os.environ.get(name) for name in ("LISTEN_FDS", "LISTEN_FDNAMES")]
told.append(os.environ.get("LISTEN_PID") == str(os.getpid()))
told.append(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:4])
for _ in range(int(sys.argv[1])):
    connection, _ = listener.accept()
    connection.sendall(f"{os.getpid()} {told}\n".encode())
    connection.recv(1)
    connection.close()
"#;

fn accepting(place: &Place, options: &[&str], count: &str) -> Option<Server> {
    let python = python(ACCEPT)?;
    let mut program = vec![python.get_program().to_str().expect("plain")];
    program.extend(
        python
            .get_args()
            .map(|argument| argument.to_str().expect("plain")),
    );
    program.push(count);
    let options = [&["--inetd-listener"], options].concat();
    Some(serving(place, &options, &program))
}

/// Which process has answered, and what it was told.
#[track_caller]
fn answer(client: &mut Client) -> (String, String) {
    let line = client.line();
    client.finish();
    assert_eq!(client.rest(), b"");
    let (pid, told) = line.split_once(' ').expect("two words");
    (pid.to_owned(), told.to_owned())
}

#[test]
fn one_program_serves_all_and_is_started_again() {
    let place = Place::new();
    let Some(mut server) = accepting(&place, &["--mode", "0640"], "2") else {
        return;
    };
    let mode = place
        .socket()
        .metadata()
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
    assert_eq!(
        server.process.stderr.so_far().lines().count(),
        1,
        "not started yet"
    );
    let (first, told) = answer(&mut server.client());
    assert_eq!(told, "['1', 'unknown', True, [0, 1, 2, 3]]");
    let (second, _) = answer(&mut server.client());
    assert_eq!(first, second);
    let (third, _) = answer(&mut server.client());
    assert_ne!(first, third, "it had ended");
    let ending = server.stop();
    assert_eq!(ending.code, Some(0), "{ending:#?}");
    assert_eq!(ending.left, Vec::<std::path::PathBuf>::new());
    assert!(
        ending
            .stderr
            .ends_with("stopped: program starts 2, waiting 0, aborted 0\n"),
        "{}",
        ending.stderr
    );
}

#[test]
fn a_program_that_ends_at_once_is_started_ever_more_seldom() {
    let place = Place::new();
    let mut server = serving(&place, &["-v", "--inetd-listener"], &["false"]);
    let mut client = server.client();
    for pause in ["in 10ms", "in 20ms", "in 40ms", "in 80ms"] {
        server
            .process
            .stderr
            .line(pause, |line| line.ends_with(pause));
    }
    has_lost(&server.stop(), 1, 0);
    client.is_cut();
}

/// Exit 7, and what the report says of clients who were not served.
#[track_caller]
fn has_lost(ending: &Ending, waiting: u64, aborted: u64) {
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    let report = format!(", waiting {waiting}, aborted {aborted}\n");
    assert!(ending.stderr.ends_with(&report), "{ending:#?}");
}

#[test]
fn clients_that_come_with_the_signal_count() {
    for kind in ["unix", "seqpacket", "dgram"] {
        let place = Place::new();
        let mut command = Server::command(&["--inetd-listener"]);
        command.arg(format!("{kind}:{}", place.socket().display()));
        let mut server = Server::started_by(command.args(["--", "cat"]), place.socket());
        server.process.freeze();
        for _ in 0..2 {
            match kind {
                "unix" => drop(server.client()),
                "seqpacket" => drop(Records::connect(place.socket())),
                _ => drop(nameless().send_to(b"x", place.socket()).expect("room")),
            }
        }
        server.terminate();
        server.process.thaw();
        let ending = server.ending();
        // The program may have been started: epoll_wait(2) can return with a client alone, and the signal
        // is seen after that.
        assert_eq!(ending.code, Some(7), "{kind} {ending:#?}");
        let lost = "that still waited for the program and are lost: 2\n";
        assert!(ending.stderr.contains(lost), "{kind} {ending:#?}");
    }
}

/// The listening socket is shut down before the program gets SIGTERM.
#[test]
fn a_server_of_ours_as_the_program_ends_in_order() {
    for kind in ["unix", "seqpacket", "dgram"] {
        let place = Place::new();
        let address = format!("{kind}:{}", place.socket().display());
        let mut command = Server::command(&["--inetd-listener"]);
        command.args([&address, "--", env!("CARGO_BIN_EXE_sockeye"), "serve"]);
        let mut server = Server::started_by(command.arg("systemd:"), place.socket());
        let mut send = crate::support::sockeye();
        run(send.args(["send", &address, "hello"])).succeeds();
        let ending = server.stop();
        assert_eq!(ending.code, Some(0), "{kind} {ending:#?}");
        let ended = |line: &str| line.starts_with("program ") && line.ends_with("exit status: 0");
        assert!(ending.stderr.lines().any(ended), "{kind} {ending:#?}");
        assert!(
            !ending.stderr.contains("cannot accept"),
            "{kind} {ending:#?}"
        );
    }
}

/// It has taken one of three.
#[test]
fn connections_of_a_program_that_dies_of_our_signal_count() {
    let place = Place::new();
    let Some(mut server) = accepting(&place, &[], "2") else {
        return;
    };
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    clients[0].line();
    has_lost(&server.stop(), 2, 1);
    for client in &mut clients {
        client.rest_or_reset();
    }
}

#[test]
fn connections_that_a_program_has_left_open_are_waited_for_and_count() {
    const LEAVES: &str = r#"
import os, socket
connection, _ = socket.socket(fileno=3).accept()
if os.fork() == 0:
    os.close(1), os.close(2)
    connection.sendall(b"up\n")
    connection.sendall(connection.recv(99))
"#;
    let Some(python) = python(LEAVES) else {
        return;
    };
    for (drain, waits) in [("60s", true), ("100ms", false)] {
        let place = Place::new();
        let mut command = Server::command(&["--inetd-listener", "--drain", drain]);
        command.arg(place.socket()).arg("--");
        command.arg(python.get_program()).args(python.get_args());
        let mut server = Server::started_by(&mut command, place.socket());
        let mut client = server.client();
        assert_eq!(client.line(), "up");
        server
            .process
            .stderr
            .line("its end", |line| line.ends_with("exit status: 0"));
        server.terminate();
        if waits {
            // A client that looks whether it is refused would start the program.
            server
                .process
                .stderr
                .line("the drain", |line| line.contains("stopping on"));
            client.send("late\n");
            assert_eq!(client.line(), "late");
            assert_eq!(server.ending().code, Some(0));
        } else {
            has_lost(&server.ending(), 0, 1);
        }
    }
}

#[test]
fn a_program_that_does_not_want_to_end_is_killed() {
    let place = Place::new();
    let mut server = script(
        &place,
        &["--inetd-listener", "--drain", "100ms"],
        "trap '' TERM; echo up >&2; sleep 1000 & wait",
    );
    let mut client = server.client();
    server.process.stderr.line("it runs", |line| line == "up");
    let ending = server.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    client.is_cut();
}
