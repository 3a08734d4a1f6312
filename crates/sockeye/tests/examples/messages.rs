//! Daemons and a client of lines: `lines`, `ask`, `graceful_shutdown`, `unit_test`.

use rustix::process::{Signal, getuid};

use crate::support::{Place, Running, netcat, peer};

/// Sends a line, says so, and prints the answer.
const ASK: &str = r#"
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.send(sys.argv[2].encode() + b"\n")
print("sent")
try:
    print("received", client.recv(100))
except ConnectionResetError:
    print("reset")
"#;

#[test]
fn lines_answers_netcat() {
    let place = Place::new();
    let daemon = Running::server("lines", &[&place.socket()]);
    if let Some(answers) = netcat(&place.socket(), b"one\n\nthree") {
        assert_eq!(answers, ["one", "", "three"]);
    }
    daemon.stop();
    place.assert_empty();
}

#[test]
fn ask_prints_the_answer_of_netcat() {
    let place = Place::new();
    let Some(mut netcat) = peer("nc") else { return };
    let mut server = Running::start(netcat.args(["-lU", &place.socket()]));
    server.write(b"hello back\n");
    let ask = Running::example("ask", [&place.socket(), "hello"]);
    let answer = format!("pid {} uid {}: hello back", server.pid(), getuid().as_raw());
    assert_eq!(ask.rest(), [answer]);
    assert_eq!(server.rest(), ["hello"]);
}

#[test]
fn graceful_shutdown_answers_what_has_begun() {
    let place = Place::new();
    let daemon = Running::server("graceful_shutdown", &[&place.socket()]);
    let Some(client) = ask(&place, "300") else {
        return;
    };
    daemon.signal(Signal::TERM);
    assert_eq!(client.rest(), ["received b'300\\n'"]);
    let (log, code) = daemon.ended();
    assert_eq!(log[0], "draining; a second signal aborts");
    assert!(log[1].contains("drained 1, aborted 0"), "{log:?}");
    assert_eq!(code, Some(0));
    place.assert_empty();
}

#[test]
fn a_second_signal_aborts_what_has_begun() {
    let place = Place::new();
    let daemon = Running::server("graceful_shutdown", &[&place.socket()]);
    let Some(client) = ask(&place, "100000000") else {
        return;
    };
    daemon.signal(Signal::TERM);
    daemon.expect_log("draining; a second signal aborts");
    daemon.signal(Signal::INT);
    let (log, code) = daemon.ended();
    assert_eq!(log[0], "aborting");
    assert!(log[1].contains("drained 0, aborted 1"), "{log:?}");
    assert_eq!(code, Some(7));
    assert_ne!(client.rest(), ["received b'100000000\\n'"]);
}

#[test]
fn unit_test_adds_the_numbers_of_netcat() {
    let place = Place::new();
    let daemon = Running::server("unit_test", &[&place.socket()]);
    if let Some(sums) = netcat(&place.socket(), b"1\n2\n3\n") {
        assert_eq!(sums, ["1", "3", "6"]);
    }
    daemon.stop();
}

/// A client that has sent its request.
fn ask(place: &Place, request: &str) -> Option<Running> {
    let mut python = peer("python3")?;
    let client = Running::start(python.args(["-uc", ASK, &place.socket(), request]));
    client.expect("sent");
    Some(client)
}
