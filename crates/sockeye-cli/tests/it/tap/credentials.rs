//! Whom the server and the clients see through a tap.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::started;
use crate::support::{OtherUser, Process, Server, as_other_user, python, run, set_mode};

/// A Python client that prints the uid and gid that it sees at the other end.
const SEES: &str = "
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:])
";

fn seen_at(path: &Path) -> Option<String> {
    let finished = run(python(SEES)?.arg(path));
    Some(finished.succeeds().text())
}

#[test]
fn as_root_a_tap_is_seen_by_neither_side() {
    let Some(user) = OtherUser::new() else { return };
    let path = user.place.socket();
    let mut server = Server::started_by(&mut user.serve(&["--mode", "0666"]), &path);
    let Some(before) = seen_at(&path) else { return };
    assert!(before.contains("65534"), "{before}");
    let mut tap = started(&[], &path);
    assert_eq!(seen_at(&path).unwrap(), before);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o666);
    let mut client = as_other_user(user.place.at("sockeye").as_os_str()).unwrap();
    run(client.arg("send").arg(&path).arg("hello")).succeeds();
    server.process.stdout.line("their user", |line| {
        line.contains("uid 65534") && line.contains("hello")
    });
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    server.stop().is_clean();
}

#[test]
fn not_as_root_a_tap_lets_nobody_else_in_unless_it_is_told_to() {
    let Some(user) = OtherUser::new() else { return };
    let path = user.place.socket();
    set_mode(user.place.dir(), 0o777);
    let mut server = Server::started_by(&mut user.serve(&["--mode", "0666"]), &path);
    let tapped = |options: &[&str]| {
        let mut command: Command = as_other_user(user.place.at("sockeye").as_os_str()).unwrap();
        let tap = Process::spawn(command.arg("tap").args(options).arg(&path));
        tap.stderr
            .line("`tapping`", |line| line.contains("tapping "));
        tap
    };
    let send = |text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
        run(command.arg("send").arg(&path).arg(text))
    };
    let mut tap = tapped(&[]);
    // Root's connection is closed.
    assert_ne!(send("one").code, Some(0));
    let mut own = as_other_user(user.place.at("sockeye").as_os_str()).unwrap();
    run(own.arg("send").arg(&path).arg("two")).succeeds();
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    let mut tap = tapped(&["--as-me"]);
    send("three").succeeds();
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    let received = server.stop();
    received.is_clean();
    let lines = received.stdout.lines();
    let texts: Vec<&str> = lines.filter_map(|line| line.rsplit(": ").next()).collect();
    assert_eq!(texts, ["two", "three"]);
}
