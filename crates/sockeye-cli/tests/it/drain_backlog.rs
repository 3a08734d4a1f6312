//! SIGTERM with clients that were not even accepted yet: all of them get their answers.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::support::{Client, Place, REPLY, Server};

const CLIENTS: usize = 100;

/// Clients that have sent their request and nothing more to do but wait.
fn waiting(server: &Server) -> Vec<Client> {
    (0..CLIENTS)
        .map(|index| {
            let mut client = server.client();
            client.send(format!("request {index}\n"));
            client.finish();
            client
        })
        .collect()
}

fn all_answered(clients: Vec<Client>) {
    for mut client in clients {
        let answer = client.rest();
        assert_eq!(String::from_utf8_lossy(&answer), format!("{REPLY}\n"));
    }
}

#[test]
fn a_request_in_the_middle_and_a_hundred_in_the_backlog_are_answered() {
    let place = Place::new();
    let mut server = Server::start(
        place.socket(),
        &["--max-connections", "1", "--drain", "60s"],
    );
    let mut first = server.client();
    first.converse("first");
    first.send("hal");
    let clients = waiting(&server);
    server.begin_drain();
    first.send("f\n");
    assert_eq!(first.line(), REPLY);
    assert_eq!(first.rest(), b"");
    all_answered(clients);
    let ending = server.ending();
    let report = ending.is_clean();
    assert!(
        report.served + report.drained > CLIENTS as u64,
        "{ending:#?}"
    );
    let asked = |line: &&str| line.contains(": request ");
    assert_eq!(ending.stdout.lines().filter(asked).count(), CLIENTS);
}

#[test]
fn a_hundred_that_came_while_the_server_was_stopped_are_served() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "60s"]);
    let mut first = server.client();
    first.converse("first");
    server.process.freeze();
    first.send("hal");
    let clients = waiting(&server);
    server.terminate();
    server.process.thaw();
    all_answered(clients);
    first.send("f\n");
    assert_eq!(first.line(), REPLY);
    assert_eq!(first.rest(), b"");
    let ending = server.ending();
    let report = ending.is_clean();
    assert!(
        report.served + report.drained > CLIENTS as u64,
        "{ending:#?}"
    );
}

#[test]
fn a_hundred_in_the_backlog_get_their_echo() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo", "--drain", "60s"]);
    server.process.freeze();
    let clients = waiting(&server);
    server.terminate();
    server.process.thaw();
    for (index, mut client) in clients.into_iter().enumerate() {
        let answer = client.rest();
        assert_eq!(answer, format!("request {index}\n").into_bytes());
    }
    server.ending().is_clean();
}

#[test]
fn the_path_is_free_as_soon_as_the_backlog_is_accepted() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "60s"]);
    let mut slow = server.client();
    slow.converse("first");
    slow.send("hal");
    server.process.freeze();
    let clients = waiting(&server);
    server.terminate();
    server.process.thaw();
    all_answered(clients);
    server.await_release();
    assert!(UnixStream::connect(place.socket()).is_err());
    assert!(
        !server.process.ends_within(Duration::ZERO),
        "still draining"
    );
    slow.send("f\n");
    assert_eq!(slow.line(), REPLY);
    server.ending().is_clean();
}

#[test]
fn a_backlog_behind_one_that_never_finishes_is_aborted_at_the_deadline() {
    let place = Place::new();
    let options = ["--max-connections", "1", "--drain", "300ms"];
    let mut server = Server::start(place.socket(), &options);
    let mut first = server.client();
    first.converse("first");
    first.send("hal");
    let clients = waiting(&server);
    let ending = server.stop();
    ending.was_cut();
    assert!(
        ending.took >= Duration::from_millis(250),
        "{:?}",
        ending.took
    );
    assert!(ending.took < Duration::from_secs(10), "{:?}", ending.took);
    first.is_cut();
    drop(clients);
}

#[test]
fn a_second_signal_aborts_the_backlog_at_once() {
    let place = Place::new();
    let options = ["--max-connections", "1", "--drain", "60s"];
    let mut server = Server::start(place.socket(), &options);
    let mut first = server.client();
    first.converse("first");
    first.send("hal");
    let clients = waiting(&server);
    server.begin_drain();
    let ending = server.stop();
    ending.was_cut();
    assert!(ending.took < Duration::from_secs(10), "{:?}", ending.took);
    first.is_cut();
    drop(clients);
}

#[test]
fn a_backlog_with_silent_clients_between_is_served() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--drain", "60s"]);
    server.process.freeze();
    let silent = server.client();
    let clients = waiting(&server);
    let gone = server.client();
    drop(gone);
    server.terminate();
    server.process.thaw();
    all_answered(clients);
    let mut silent = silent;
    assert_eq!(silent.rest(), b"");
    server.ending().is_clean();
}
