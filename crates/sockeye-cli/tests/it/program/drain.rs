//! A drain waits for programs, then asks them to end, then ends them.

use std::fs;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use super::script;
use crate::support::{Place, eventually};

#[test]
fn a_drain_waits_for_a_program() {
    let place = Place::new();
    let mut server = script(&place, &["--drain", "60s"], "read word; echo \"got $word\"");
    let mut client = server.client();
    server.begin_drain();
    client.send("late\n");
    assert_eq!(client.rest(), b"got late\n");
    assert!(server.ending().is_clean().drained >= 1);
}

#[test]
fn what_waits_in_the_backlog_has_its_program() {
    let place = Place::new();
    let mut server = script(&place, &["--drain", "60s"], "read word; echo \"got $word\"");
    server.process.freeze();
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    server.terminate();
    server.process.thaw();
    server.await_refusal();
    for client in &mut clients {
        client.send("late\n");
        assert_eq!(client.rest(), b"got late\n");
    }
    assert!(server.ending().is_clean().drained >= 3);
}

#[test]
fn a_program_that_takes_too_long_is_asked_to_end() {
    let place = Place::new();
    let mut server = script(
        &place,
        &["--drain", "100ms"],
        "trap 'echo bye; exit' TERM; echo up; sleep 1000 & wait",
    );
    let mut client = server.client();
    assert_eq!(client.line(), "up");
    server.terminate();
    assert_eq!(client.rest(), b"bye\n");
    assert_eq!(server.ending().was_cut().aborted, 1);
}

#[test]
fn a_second_signal_is_the_end_of_the_time() {
    let place = Place::new();
    let mut server = script(&place, &["--drain", "60s"], "echo up; exec sleep 1000");
    let mut client = server.client();
    assert_eq!(client.line(), "up");
    server.begin_drain();
    server.process.signal(Signal::INT);
    assert_eq!(client.rest(), b"");
    let ending = server.ending();
    ending.was_cut();
    assert!(ending.stderr.contains("signal: 15"), "{}", ending.stderr);
}

#[test]
fn a_program_that_does_not_want_to_end_is_killed_with_its_children() {
    let place = Place::new();
    let mut server = script(
        &place,
        &["--drain", "100ms"],
        "trap '' TERM; sleep 1000 & echo $!; wait",
    );
    let mut client = server.client();
    let child = client.line();
    assert!(fs::exists(format!("/proc/{child}")).expect("proc"));
    server.terminate();
    assert_eq!(client.rest(), b"");
    let ending = server.ending();
    assert_eq!(ending.was_cut().aborted, 1);
    assert!(ending.stderr.contains("signal: 9"), "{}", ending.stderr);
    eventually(
        "the child of the program has ended",
        || match fs::read_to_string(format!("/proc/{child}/stat")) {
            Ok(stat) => stat.contains(") Z ").then_some(()),
            Err(_) => Some(()),
        },
    );
}

/// The listener is in the server alone: nobody keeps it open and lets new clients hang.
#[test]
fn a_killed_server_refuses_though_its_program_lives() {
    let place = Place::new();
    let mut server = script(&place, &[], "echo $$; exec cat");
    let mut client = server.client();
    client.line();
    server.process.signal(Signal::KILL);
    server.process.wait();
    let error = UnixStream::connect(place.socket()).expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    client.send("still here\n");
    client.finish();
    assert_eq!(client.rest(), b"still here\n");
}
