//! `chat` delivers each line to all, in one order, whatever a client that never reads does.

use rustix::process::Signal;

use crate::support::{Place, Running, netcat, peer, python};

#[test]
fn whoever_speaks_hears_itself() {
    let place = Place::new();
    let daemon = started(&place, "60");
    if let Some(heard) = netcat(&place.socket(), b"one\n\nthree\n") {
        assert_eq!(heard, ["you are 1", "1: one", "1: ", "1: three"]);
    }
    daemon.stop();
    place.assert_empty();
}

#[test]
fn a_client_that_never_reads_is_dropped_by_the_idle_timeout() {
    // More than a socket buffer holds, and fewer lines than the queue.
    assert_delivered("5", 100, 100, "hangup");
}

#[test]
fn a_client_that_is_too_far_behind_gets_no_more() {
    // More than a socket buffer and the queue hold.
    assert_delivered("3600", 20, 1200, "read");
}

/// To so many clients, which send so many lines each, beside one that does not read until the end.
fn assert_delivered(idle: &str, clients: usize, lines: usize, end: &str) {
    let place = Place::new();
    let daemon = started(&place, idle);
    let (socket, count) = (place.socket(), clients.to_string());
    let arguments = [&socket, &count, &lines.to_string(), end];
    let Some(said) = python(include_str!("chat.py"), &arguments) else {
        return;
    };
    let expected = [
        format!("{clients} clients received {} lines each", clients * lines),
        "the one that did not read was disconnected".to_owned(),
    ];
    assert_eq!(said, expected);
    let report = daemon.stop();
    assert!(report.ends_with(", failed 1"), "{report}");
}

#[test]
fn a_shutdown_ends_the_room() {
    let place = Place::new();
    let daemon = started(&place, "60");
    let Some(mut netcat) = peer("nc") else { return };
    let client = Running::start(netcat.args(["-U", &place.socket()]));
    client.expect("you are 1");
    daemon.signal(Signal::TERM);
    assert_eq!(client.rest(), [""; 0]);
    let report = daemon.ended().0.concat();
    assert!(report.contains("drained 1, aborted 0"), "{report}");
}

fn started(place: &Place, idle: &str) -> Running {
    Running::server("chat", &[&place.socket(), "--idle", idle])
}
