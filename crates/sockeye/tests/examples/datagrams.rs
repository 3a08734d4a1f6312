//! `datagrams` names the sender of each datagram, and loses none at a shutdown.

use rustix::process::{Signal, getuid};

use crate::support::{Place, Running, peer, python};

/// Fewer than a queue takes (net.unix.max_dgram_qlen).
const MANY: usize = 8;

/// One that has an address.
const ASK: &str = r#"
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.bind(sys.argv[2])
client.sendto(b"line\x1b[2J\n", sys.argv[1])
print(client.recv(100).decode())
client.sendto(9000 * b"x", sys.argv[1])
"#;

const SEND_MANY: &str = r#"
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for at in range(int(sys.argv[2])):
    client.sendto(b"line %d" % at, sys.argv[1])
"#;

#[test]
fn the_sender_of_each_datagram_is_named() {
    let (place, uid) = (Place::new(), getuid().as_raw());
    let daemon = started(&place);
    if let Some(mut socat) = peer("socat") {
        let to = format!("UNIX-SENDTO:{}", place.socket());
        let mut sender = Running::start(socat.args(["-u", "-", &to]));
        let pid = sender.pid();
        sender.write(b"hello\n");
        sender.rest();
        daemon.expect(&format!("pid {pid} uid {uid}: hello"));
    }
    let client = place.at("client.sock");
    if let Some(answers) = python(ASK, &[&place.socket(), &client]) {
        assert_eq!(answers, ["collected"]);
        let line = daemon.next().unwrap();
        let expected = format!(" uid {uid}: line\\x1b[2J");
        assert!(line.ends_with(&expected), "{line}");
        daemon.expect("a record of 9000 bytes, and there is room for 8192");
    }
    daemon.stop();
}

#[test]
fn what_was_sent_before_a_shutdown_is_collected() {
    let place = Place::new();
    let daemon = started(&place);
    daemon.signal(Signal::STOP);
    if python(SEND_MANY, &[&place.socket(), &MANY.to_string()]).is_none() {
        return;
    }
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::CONT);
    for at in 0..MANY {
        let line = daemon.next().unwrap();
        assert!(line.ends_with(&format!(": line {at}")), "{line}");
    }
    let (log, code) = daemon.ended();
    // Which of them were received before the signal was noticed depends on the schedule.
    let counts = (0..=MANY).map(|at| format!("served {at}, refused 0, drained {}, ", MANY - at));
    let is_complete = counts.into_iter().any(|counts| log[0].starts_with(&counts));
    assert!(is_complete && code == Some(0), "{log:?}");
    place.assert_empty();
}

fn started(place: &Place) -> Running {
    let address = format!("dgram:{}", place.socket());
    Running::server("datagrams", &[&address])
}
