//! Datagram clients that do not take their answers: they wait, in order, and hold up nobody else.

use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::support::{
    Place, Server, bound, eventually, longest_queue, nameless, receive, run, skipped, sockeye,
};

/// With a longer queue the server's own buffer would be the limit.
fn queues_are_short() -> bool {
    let short = longest_queue() <= 100;
    if !short {
        skipped("net.unix.max_dgram_qlen is above 100");
    }
    short
}

#[track_caller]
fn serve(place: &Place, options: &[&str]) -> Server {
    let path = place.socket();
    let address = format!("dgram:{}", path.display());
    Server::started_by(Server::command(options).arg(address), path)
}

/// Sends numbers from a socket that is not connected, so that its own queue has the usual limit,
/// and returns once the server has taken them.
fn send_numbers(client: &UnixDatagram, server: &Server, numbers: Range<usize>) {
    for number in numbers {
        let datagram = number.to_string();
        client
            .send_to(datagram.as_bytes(), &server.path)
            .expect("sent");
    }
    answers_somebody(&server.path);
}

/// Datagrams are taken in order, so all before this one have been.
#[track_caller]
fn answers_somebody(path: &Path) {
    let mut send = sockeye();
    send.args(["send", &format!("dgram:{}", path.display()), "me too"]);
    assert_eq!(run(&mut send).succeeds().text(), "me too\n");
}

#[test]
fn answers_that_wait_are_not_overtaken() {
    if !queues_are_short() {
        return;
    }
    let place = Place::new();
    let mut server = serve(&place, &["--echo", "--drain", "60s"]);
    let client = bound(place.at("client"));
    let first = longest_queue() + 40;
    send_numbers(&client, &server, 0..first);
    let last = first + 200;
    let mut next = first;
    for number in 0..last {
        assert_eq!(receive(&client), number.to_string().as_bytes());
        // There is room now, but not for this one's reply.
        if next < last {
            client
                .send_to(next.to_string().as_bytes(), &server.path)
                .expect("sent");
            next += 1;
        }
    }
    let report = server.stop().is_clean();
    assert_eq!(report.served, last as u64 + 1);
}

#[test]
fn a_client_that_never_reads_loses_its_replies() {
    if !queues_are_short() {
        return;
    }
    let place = Place::new();
    // The time for a reply too, but a second at least.
    let mut server = serve(&place, &["--echo", "--drain", "100ms"]);
    let client = bound(place.at("client"));
    send_numbers(&client, &server, 0..longest_queue() + 5);
    let complaint = server
        .process
        .stderr
        .line("the complaint", |line| line.contains("did not read"));
    assert!(complaint.contains("5 were dropped"), "{complaint}");
    // It has lost those, and is answered as soon as it reads.
    for number in 0..longest_queue() {
        assert_eq!(receive(&client), number.to_string().as_bytes());
    }
    client.send_to(b"again", &server.path).expect("sent");
    assert_eq!(receive(&client), b"again");
    server.stop().has_dropped(5);
}

#[test]
fn no_more_answers_wait_than_allowed() {
    if !queues_are_short() {
        return;
    }
    let place = Place::new();
    let mut server = serve(&place, &["--echo", "--drain", "60s"]);
    let (greedy, other) = (bound(place.at("greedy")), bound(place.at("other")));
    let queue = longest_queue();
    send_numbers(&greedy, &server, 0..queue + 128 + 1);
    server
        .process
        .stderr
        .line("the complaint", |line| line.contains("too many wait"));
    // There is room for others, who are slow too.
    send_numbers(&other, &server, 0..queue + 10);
    for (client, count) in [(&greedy, queue + 128), (&other, queue + 10)] {
        for number in 0..count {
            assert_eq!(receive(client), number.to_string().as_bytes());
        }
    }
    server.stop().has_dropped(1);
}

#[test]
fn a_drain_waits_for_slow_receivers_and_aborts_them() {
    if !queues_are_short() {
        return;
    }
    for (option, reads) in [("60s", true), ("200ms", false)] {
        let place = Place::new();
        let mut server = serve(&place, &["--echo", "--drain", option]);
        let client = bound(place.at("client"));
        let count = longest_queue() + 7;
        send_numbers(&client, &server, 0..count);
        server.terminate();
        server
            .process
            .stderr
            .line("the drain", |line| line.starts_with("stopping on"));
        eventually("new clients are refused", || {
            let late = nameless().send_to(b"not answered", &server.path);
            late.is_err().then_some(())
        });
        if reads {
            for number in 0..count {
                assert_eq!(receive(&client), number.to_string().as_bytes());
            }
            server.ending().is_clean();
        } else {
            assert_eq!(server.ending().was_cut().aborted, 7);
        }
    }
}
