//! What goes together, and what is said of the rest.

use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::relay;
use crate::support::{Place, Process, run};

#[test]
fn addresses_of_different_kinds_are_wrong_usage() {
    for (addresses, words) in [
        (
            &["/tmp/a", "seqpacket:/tmp/b"] as &[&str],
            &["is a stream", "has records", "seqpacket: with seqpacket:"] as &[&str],
        ),
        (&["seqpacket:@a", "/tmp/b"], &["has records", "is a stream"]),
        (
            &["dgram:@a", "tcp:localhost:1"],
            &["has datagrams", "is a stream"],
        ),
        (
            &["tcp:localhost:1", "seqpacket:@b"],
            &["is a stream", "has records"],
        ),
        (&["-", "seqpacket:@b"], &["is a stream", "has records"]),
        (&["dgram:@a", "-"], &["has datagrams", "is a stream"]),
        (
            &["/tmp/a", "/tmp/b", "seqpacket:/tmp/c"],
            &["/tmp/b and seqpacket:/tmp/c", "different kinds"],
        ),
        (&["/tmp/a", "/tmp/b", "/tmp/a"], &["the relay itself"]),
        (&["-", "-"], &["one side"]),
        (
            &["/tmp/a", "/tmp/b", "-"],
            &["beside other targets", "only TARGET"],
        ),
    ] {
        let said = run(relay(&[]).args(addresses));
        said.fails(2, words)
            .fails(2, &["cannot ", "sockeye relay --help"]);
    }
}

#[test]
fn options_without_an_effect_are_wrong_usage() {
    let place = Place::new();
    let path = place.socket();
    let path = path.to_str().expect("plain");
    for (arguments, option) in [
        (
            &["--mode", "0600", "tcp:127.0.0.1:0", "PATH"] as &[&str],
            "--mode",
        ),
        (&["--owner", "root", "-", "PATH"], "--owner"),
        (&["--takeover", "@sockeye-test-front", "PATH"], "--takeover"),
        (
            &["--allow-user", "root", "tcp:127.0.0.1:0", "PATH"],
            "--allow-user",
        ),
        (
            &["--allow-group", "root", "tcp:127.0.0.1:0", "PATH"],
            "--allow-group",
        ),
        (
            &["--max-per-uid", "1", "tcp:127.0.0.1:0", "PATH"],
            "--max-per-uid",
        ),
        (
            &["--credentials", "client", "tcp:127.0.0.1:0", "PATH"],
            "--credentials client",
        ),
        (
            &["--credentials", "client", "PATH", "tcp:127.0.0.1:1"],
            "--credentials client",
        ),
        (
            &["--credentials", "client", "-", "PATH"],
            "--credentials client",
        ),
        (&["--fds", "pass", "tcp:127.0.0.1:0", "PATH"], "--fds pass"),
        (&["--fds", "pass", "PATH", "tcp:127.0.0.1:1"], "--fds pass"),
        (&["--fds", "pass", "-", "PATH"], "--fds pass"),
        (
            &["--max-connections", "3", "-", "PATH"],
            "--max-connections",
        ),
        (&["--exit-idle", "1s", "-", "PATH"], "--exit-idle"),
        (
            &["--half-close-timeout", "1s", "dgram:PATH", "dgram:@x"],
            "--half-close-timeout",
        ),
    ] {
        let arguments = arguments.iter().map(|word| word.replace("PATH", path));
        let said = run(relay(&[]).args(arguments));
        said.fails(2, &[option, "omit"]);
        assert_eq!(place.names().len(), 0, "{option}: nothing is touched");
    }
}

#[test]
fn an_inherited_fd_must_be_what_the_address_needs() {
    let place = Place::new();
    let start = |addresses: &[&str], stdin: Stdio| {
        let mut command = relay(&[]);
        Process::spawn_reading(command.args(addresses), stdin).finish()
    };
    let (one, _other) = UnixStream::pair().expect("a pair");
    let said = start(
        &["seqpacket:fd:0", "seqpacket:@x"],
        Stdio::from(std::os::fd::OwnedFd::from(one)),
    );
    said.fails(2, &["cannot ", "fd:0", "stream"]);
    let front = place.at("front");
    let front = front.to_str().expect("plain");
    start(&[front, "fd:0"], Stdio::null()).fails(2, &["cannot connect to fd:0", "not a socket"]);
    start(&[front, "fd:77"], Stdio::null()).fails(2, &["fd:77", "not open"]);
    start(&["systemd:", "@x"], Stdio::null()).fails(3, &["no socket was passed"]);
    assert_eq!(place.names().len(), 0);
}

#[test]
fn help_says_what_the_credentials_cannot_keep() {
    let help = run(relay(&[]).arg("--help")).text();
    for word in [
        "--fds",
        "--credentials",
        "--max-record",
        "--half-close-timeout",
        "--exit-idle",
        "--wait",
        "--takeover",
        "--drain",
        "tcp:HOST:PORT",
        "pidfd",
        "security module",
        "Exit 7",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
