//! Graceful shutdown, the abort, and the listener handover.

use rustix::process::Signal;

use super::{Relayed, start};
use crate::support::{Client, Server};

/// SIGTERM, and returns once it is seen. A probe of the address could be a client of the backlog.
#[track_caller]
fn begin_drain(relay: &Server) {
    relay.terminate();
    let begins = |line: &str| line.contains("stopping on SIGTERM");
    relay.process.stderr.line("the drain", begins);
}

#[test]
fn a_connection_in_flight_goes_on_until_both_directions_have_ended() {
    let mut relayed = Relayed::start(&["--drain", "60s"]);
    let mut client = Client::connect(relayed.front());
    client.send("one\n");
    client.line();
    begin_drain(&relayed.relay);
    for word in ["two", "three"] {
        client.send(format!("{word}\n"));
        assert_eq!(client.line(), word);
    }
    client.finish();
    assert_eq!(client.rest(), b"");
    let report = relayed.relay.ending().is_clean();
    assert_eq!((report.served, report.drained), (0, 1));
}

#[test]
fn the_drain_timeout_aborts_and_is_exit_7() {
    let mut relayed = Relayed::start(&["--drain", "100ms"]);
    let mut client = Client::connect(relayed.front());
    client.send("one\n");
    client.line();
    relayed.relay.terminate();
    assert_eq!(relayed.relay.ending().was_cut().aborted, 1);
    client.is_cut();
}

#[test]
fn a_second_signal_aborts() {
    let mut relayed = Relayed::start(&["--drain", "60s"]);
    let mut client = Client::connect(relayed.front());
    client.send("one\n");
    client.line();
    begin_drain(&relayed.relay);
    relayed.relay.terminate();
    assert_eq!(relayed.relay.ending().was_cut().aborted, 1);
    client.is_cut();
}

#[test]
fn clients_in_the_backlog_are_served_in_a_drain() {
    let mut relayed = Relayed::start(&["--drain", "60s"]);
    relayed.relay.process.freeze();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(relayed.front())).collect();
    for client in &mut clients {
        client.send("hello\n");
        client.finish();
    }
    relayed.relay.terminate();
    relayed.relay.process.thaw();
    for client in &mut clients {
        assert_eq!(client.rest(), b"hello\n");
    }
    relayed.relay.ending().is_clean();
}

#[test]
fn a_successor_takes_over_while_a_connection_goes_on() {
    let mut relayed = Relayed::start(&["--takeover", "--drain", "60s"]);
    let mut old = Client::connect(relayed.front());
    old.send("one\n");
    old.line();
    let targets = [relayed.place.socket()];
    let mut successor = start(&["--takeover"], &relayed.front(), &targets);
    // Until it says so, the predecessor accepts too.
    let handed_over = |line: &str| line.contains("handed over to ");
    let stderr = &relayed.relay.process.stderr;
    stderr.line("the handover", handed_over);
    let mut new = Client::connect(relayed.front());
    new.send("new\n");
    assert_eq!(new.line(), "new");
    old.send("two\n");
    assert_eq!(old.line(), "two");
    drop(old);
    let ending = relayed.relay.ending();
    assert_eq!(ending.code, Some(0), "{ending:#?}");
    assert_eq!(ending.report().drained, 1);
    drop(new);
    successor.stop().is_clean();
}

#[test]
fn a_hangup_restarts_it() {
    let mut relayed = Relayed::start(&["--takeover"]);
    let mut first = Client::connect(relayed.front());
    first.send("one\n");
    first.line();
    relayed.relay.process.signal(Signal::HUP);
    let took = |line: &str| line.contains("handed over to ");
    let line = relayed.relay.process.stderr.line("the handover", took);
    drop(first);
    let mut second = Client::connect(relayed.front());
    second.send("two\n");
    assert_eq!(second.line(), "two");
    drop(second);
    let pid = line
        .split("pid ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let pid: i32 = pid.expect("its pid").parse().expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    // Both write to the same pipe, which ends with the last of them.
    relayed.relay.ending();
}
