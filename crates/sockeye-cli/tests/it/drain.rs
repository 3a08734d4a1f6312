//! SIGTERM and SIGINT: what is begun is finished, what is idle is let go, and the report says so.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Client, Place, REPLY, Server};

const LONG: &[&str] = &["--drain", "60s"];

/// A client that has had one answer, and so is known to be accepted.
fn accepted(server: &Server) -> Client {
    accepted_with(server, REPLY)
}

/// Like [`accepted`], with another reply.
fn accepted_with(server: &Server, reply: &str) -> Client {
    let mut client = server.client();
    client.send("first\n");
    assert_eq!(client.line(), reply);
    client
}

#[test]
fn a_server_without_clients_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut server = Server::start(place.socket(), LONG);
        server.process.signal(signal);
        let ending = server.ending();
        let report = ending.is_clean();
        assert_eq!((report.served, report.refused), (0, 0), "{ending:#?}");
        assert_eq!(place.names().len(), 0);
    }
}

#[test]
fn a_client_in_the_middle_of_a_request_gets_its_answer() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut server = Server::start(place.socket(), LONG);
        let mut client = accepted(&server);
        client.send("hal");
        server.process.signal(signal);
        server.await_refusal();
        client.send("f\n");
        assert_eq!(client.line(), REPLY);
        assert_eq!(client.rest(), b"", "and then it is closed");
        server.ending().is_clean();
    }
}

#[test]
fn the_report_counts_connections() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    for _ in 0..3 {
        server.ask("one\ntwo\n");
    }
    let ending = server.stop();
    let report = ending.is_clean();
    assert_eq!(report.served, 3, "connections, not messages: {ending:#?}");
    assert_eq!(report.refused, 0, "{ending:#?}");
}

#[test]
fn a_client_that_never_finishes_is_aborted_at_the_deadline() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "300ms"]);
    let mut client = accepted(&server);
    client.send("hal");
    let asked = Instant::now();
    server.terminate();
    client.is_cut();
    let cut = asked.elapsed();
    let report = server.ending().was_cut();
    assert_eq!(report.aborted, 1);
    assert!(cut >= Duration::from_millis(250), "not before: {cut:?}");
    assert!(cut < Duration::from_secs(5), "not long after: {cut:?}");
}

#[test]
fn a_second_signal_aborts_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut server = Server::start(place.socket(), LONG);
        let mut client = accepted(&server);
        client.send("hal");
        server.begin_drain();
        server.process.signal(second);
        client.is_cut();
        let ending = server.ending();
        assert_eq!(ending.was_cut().aborted, 1);
        assert!(ending.took < Duration::from_secs(10), "{:?}", ending.took);
    }
}

#[test]
fn a_connection_idle_between_messages_is_closed_at_once() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut clients: Vec<Client> = (0..5).map(|_| accepted(&server)).collect();
    server.terminate();
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
    let ending = server.ending();
    assert_eq!(ending.is_clean().drained, 5, "{ending:#?}");
    // Less than what a silent connection would be given.
    assert!(
        ending.took < Duration::from_millis(900),
        "{:?}",
        ending.took
    );
}

#[test]
fn a_silent_connection_has_a_second() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut client = server.client();
    let asked = Instant::now();
    server.terminate();
    assert_eq!(client.rest(), b"");
    let closed = asked.elapsed();
    server.ending().is_clean();
    assert!(
        closed >= Duration::from_millis(900),
        "not before: {closed:?}"
    );
    assert!(
        closed < Duration::from_secs(8),
        "not long after: {closed:?}"
    );
}

#[test]
fn a_silent_connection_has_no_more_than_the_deadline() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "100ms"]);
    let mut client = server.client();
    let asked = Instant::now();
    server.terminate();
    assert_eq!(client.rest(), b"");
    let closed = asked.elapsed();
    server.ending().is_clean();
    assert!(closed < Duration::from_millis(900), "{closed:?}");
}

#[test]
fn a_silent_connection_that_speaks_up_is_served() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut client = server.client();
    server.begin_drain();
    client.send("at last\n");
    assert_eq!(client.line(), REPLY);
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn a_silent_connection_that_begins_has_until_the_deadline() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut client = server.client();
    server.begin_drain();
    client.send("slow");
    // Longer than the second that silence is given: that is what is tested.
    client.hears_nothing_for(Duration::from_millis(1300));
    client.send("ly\n");
    assert_eq!(client.line(), REPLY);
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn bytes_that_already_wait_are_not_lost_to_the_signal() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut clients: Vec<Client> = (0..20).map(|_| accepted(&server)).collect();
    // Frozen, so that the signal and the bytes are there at the same time.
    server.process.freeze();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(format!("waiting {index}\n"));
    }
    server.terminate();
    server.process.thaw();
    for client in &mut clients {
        assert_eq!(client.line(), REPLY);
        assert_eq!(client.rest(), b"");
    }
    server.ending().is_clean();
}

#[test]
fn a_message_begun_while_the_signal_is_pending_is_served_to_the_end() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), LONG);
    let mut client = accepted(&server);
    server.process.freeze();
    client.send("hal");
    server.terminate();
    server.process.thaw();
    server.await_refusal();
    client.send("f\n");
    assert_eq!(client.line(), REPLY);
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn answers_not_yet_taken_are_delivered() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "60s", "--reply", "ok"]);
    let mut client = accepted_with(&server, "ok");
    // Some in the server, some before it, and no answer taken yet.
    let sent = client.send_until_stuck(|index| b"x\n"[index % 2]);
    server.begin_drain();
    // The last one may lack its newline; the end of input ends it as well.
    client.finish();
    for _ in 0..sent.div_ceil(2) {
        assert_eq!(client.line(), "ok");
    }
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn an_echo_gives_back_every_byte_that_it_was_sent() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo", "--drain", "60s"]);
    let mut client = server.client();
    let sent = client.send_until_stuck(|index| (index % 251) as u8);
    server.begin_drain();
    let back = client.rest();
    assert_eq!(back.len(), sent, "every byte comes back");
    let as_sent = back
        .iter()
        .enumerate()
        .all(|(index, byte)| *byte == (index % 251) as u8);
    assert!(as_sent, "and as it was");
    server.ending().is_clean();
}

#[test]
fn an_echo_with_bytes_that_nobody_reads_is_aborted_at_the_deadline() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo", "--drain", "300ms"]);
    let mut client = server.client();
    client.send_until_stuck(|_| b'x');
    server.stop().was_cut();
}

#[test]
fn an_idle_echo_is_let_go() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo", "--drain", "60s"]);
    let mut client = server.client();
    client.send("once");
    assert_eq!(client.exactly(4), b"once");
    let ending = server.stop();
    assert_eq!(client.rest(), b"");
    assert_eq!(ending.is_clean().drained, 1, "{ending:#?}");
    assert!(ending.took < Duration::from_secs(10), "{:?}", ending.took);
}

#[test]
fn a_frame_in_the_middle_is_finished() {
    let place = Place::new();
    let options = ["--framing", "length", "--drain", "60s", "--reply", "ok"];
    let mut server = Server::start(place.socket(), &options);
    let mut client = server.client();
    client.send(b"\0\0\0\x03one\0\0");
    assert_eq!(client.exactly(6), b"\0\0\0\x02ok");
    server.begin_drain();
    client.send(b"\0\x03two");
    assert_eq!(client.exactly(6), b"\0\0\0\x02ok");
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn a_successor_may_start_while_the_first_still_drains() {
    let place = Place::new();
    let mut first = Server::start(place.socket(), &["--drain", "60s", "--reply", "first"]);
    let mut client = accepted_with(&first, "first");
    client.send("hal");
    first.terminate();
    first.await_release();
    let mut second = Server::start(place.socket(), &["--reply", "second"]);
    assert_eq!(second.ask("who\n"), "second\n");
    let file = place.snapshot();
    client.send("f\n");
    assert_eq!(client.line(), "first", "the first finishes what it began");
    assert_eq!(client.rest(), b"");
    let ending = first.ending();
    assert_eq!(ending.code, Some(0), "{ending:#?}");
    assert_eq!(ending.report().aborted, 0);
    assert_eq!(place.snapshot(), file, "and leaves its successor's files");
    assert_eq!(second.ask("who\n"), "second\n");
    second.stop().is_clean();
}

#[test]
fn an_aborted_predecessor_leaves_its_successor_alone() {
    let place = Place::new();
    let mut first = Server::start(place.socket(), LONG);
    let mut client = accepted(&first);
    client.send("hal");
    first.terminate();
    first.await_release();
    let second = Server::start(place.socket(), &["--reply", "second"]);
    let file = place.snapshot();
    first.terminate();
    client.is_cut();
    assert_eq!(first.ending().code, Some(7));
    assert_eq!(place.snapshot(), file);
    assert_eq!(second.ask("who\n"), "second\n");
}

#[test]
fn a_file_that_took_our_place_survives_our_end() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    fs::remove_file(place.socket()).expect("the user removes the socket");
    fs::write(place.socket(), "precious").expect("and writes a file there");
    server.terminate();
    assert_eq!(server.ending().code, Some(0));
    let content = fs::read_to_string(place.socket()).expect("still there");
    assert_eq!(content, "precious");
}

#[test]
fn a_server_may_end_without_its_file() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    fs::remove_file(place.socket()).expect("the user removes the socket");
    server.stop().is_clean();
}
