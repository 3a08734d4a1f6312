//! `--inetd-listener`: the listening socket itself, for one program that is started when needed.

use std::os::unix::fs::PermissionsExt;

use super::{script, serving};
use crate::support::{Client, Place, Server, python};

/// Accepts as many connections as it is told and says what it was given.
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
        ending.stderr.ends_with("stopped: program starts 2\n"),
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
    assert_eq!(server.stop().code, Some(0));
    client.is_cut();
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
