//! A program has its connection and nothing of ours: no descriptor, no signal, no limit.

use std::fs;
use std::process::Command;

use super::{script, serving};
use crate::support::{Place, Server, eventually, require_peer};

#[test]
fn a_program_has_three_descriptors() {
    let place = Place::new();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec 7</dev/null; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg("serve")
        .arg(place.socket())
        .args([
            "--",
            "/bin/sh",
            "-c",
            "ls -x /proc/$$/fd; readlink /proc/$$/fd/[01]",
        ]);
    let server = Server::started_by(&mut command, place.socket());
    assert!(
        fs::exists(format!("/proc/{}/fd/7", server.process.id())).expect("ours"),
        "the server has inherited one"
    );
    // One more connection is open in the server, or in another program.
    let _other = server.client();
    let answer = server.ask("");
    let (names, links) = answer.split_once('\n').expect("lines");
    let numbers: Vec<_> = names.split_whitespace().collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    let links: Vec<_> = links.lines().collect();
    assert!(links[0].starts_with("socket:["), "{answer}");
    assert_eq!(links[0], links[1]);
}

#[test]
fn a_program_has_default_signals() {
    let Some(env) = require_peer("env") else {
        return;
    };
    let place = Place::new();
    let mut command = Command::new(env);
    command
        .args(["--ignore-signal=INT,USR2", "--block-signal=USR1"])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg("serve")
        .arg(place.socket())
        .args(["--", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let server = Server::started_by(&mut command, place.socket());
    let status = format!("/proc/{}/status", server.process.id());
    // While it starts a thread, all signals are blocked.
    eventually("the server's own signal mask", || {
        let status = fs::read_to_string(&status).ok()?;
        status.contains("SigBlk:\t0000000000000200").then_some(())
    });
    assert_eq!(
        server.ask(""),
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
    );
}

#[test]
fn a_program_may_open_as_many_files_as_before() {
    let place = Place::new();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -S -n 123; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg("serve")
        .arg(place.socket())
        .args(["--", "grep", "Max open files", "/proc/self/limits"]);
    let server = Server::started_by(&mut command, place.socket());
    let line = server.ask("");
    let limits: Vec<_> = line.split_whitespace().collect();
    assert_eq!(limits[3], "123");
    let own = fs::read_to_string(format!("/proc/{}/limits", server.process.id())).expect("ours");
    let own = own.lines().find(|line| line.starts_with("Max open files"));
    let own: Vec<_> = own.expect("a line").split_whitespace().collect();
    assert_eq!(
        own[3], limits[4],
        "the server itself has all that it may have"
    );
}

#[test]
fn a_program_leads_a_group_and_its_connection_blocks() {
    let place = Place::new();
    let server = script(
        &place,
        &[],
        "grep -q 'flags:.*4...$' /proc/self/fdinfo/0 || echo blocks; cut -d' ' -f5 /proc/$$/stat; echo $$",
    );
    let answer = server.ask("");
    let lines: Vec<_> = answer.lines().collect();
    assert_eq!(lines[0], "blocks");
    assert_eq!(lines[1], lines[2], "its group is its own");
}

/// The server has closed its copy, or a client would wait for more until the server ends.
#[test]
fn the_end_of_the_program_is_the_end_of_the_connection() {
    let place = Place::new();
    let mut server = serving(&place, &[], &["echo", "hello"]);
    let mut client = server.client();
    assert_eq!(client.rest(), b"hello\n");
    let report = server.stop().is_clean();
    assert_eq!(report.served + report.drained, 1);
}
