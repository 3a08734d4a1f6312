//! How a subcommand ends whose output nobody reads, or that Ctrl-C ends.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{Place, Process, Server, sockeye};

/// The signal that ended it, and what it said on standard error, where nobody reads its output.
fn without_a_reader(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.signal(), said)
}

#[test]
fn an_output_that_nobody_reads_ends_every_subcommand_in_silence() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["send", path, "hello"] as &[&str],
        &["ls", path],
        &["ls", "--all", "--json"],
        &["ls", "--watch=1h", path],
        &["why", path],
        &["why", "--json", path],
        &["demo"],
        &["--help"],
        &["serve", "--help"],
        &["--version"],
    ] {
        let (signal, said) = without_a_reader(sockeye().args(arguments));
        assert_eq!(signal, Some(Signal::PIPE.as_raw()), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["send", path, "hello"] as &[&str],
        &["ls", path],
        &["why", path],
    ] {
        let full = std::fs::File::create("/dev/full").expect("Linux");
        let output = sockeye().args(arguments).stdout(full).output();
        let output = output.expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("sockeye: cannot write to standard output: "),
            "{said}"
        );
    }
}

/// A shell goes on with its loop unless the command died *by* the signal.
#[test]
fn ctrl_c_ends_a_subcommand_by_its_signal() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let path = server.path.to_str().expect("plain");
    for arguments in [
        &["connect", path] as &[&str],
        &["ls", "--watch=1h", path],
        &["demo"],
    ] {
        let mut process = Process::spawn_piped(sockeye().args(arguments));
        let stdin = process.stdin.as_mut().expect("piped");
        // It may have no interest in that.
        let _ = stdin.write_all(b"hello\n");
        process.stdout.first_lines(1);
        process.signal(Signal::INT);
        let status = process.wait();
        assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{arguments:?}");
    }
}
