//! Several targets, and targets that cannot be reached.

use super::start;
use crate::support::{Client, Place, Server, stale_socket};

#[test]
fn each_client_gets_the_next_target() {
    let place = Place::new();
    let names = ["one", "two", "three"];
    let mut servers: Vec<Server> = names
        .iter()
        .map(|name| Server::start(place.at(name), &["--reply", name]))
        .collect();
    let targets: Vec<_> = names.iter().map(|name| place.at(name)).collect();
    let front = place.at("front");
    let mut relay = start(&[], &front, &targets);
    let mut answers: Vec<String> = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(&front);
        client.send("who\n");
        answers.push(client.line());
    }
    for name in names {
        let count = answers.iter().filter(|answer| *answer == name).count();
        assert_eq!(count, 2, "{answers:?}");
    }
    relay.stop().is_clean();
    for server in &mut servers {
        server.stop().is_clean();
    }
}

#[test]
fn a_target_that_is_gone_is_passed_over() {
    let place = Place::new();
    stale_socket(&place.at("dead"));
    let mut server = Server::start(place.socket(), &[]);
    let front = place.at("front");
    let mut relay = start(
        &[],
        &front,
        &[place.at("dead"), place.socket(), place.at("absent")],
    );
    for _ in 0..6 {
        Client::connect(&front).converse("hello");
    }
    relay.stop().is_clean();
    assert_eq!(server.stop().is_clean().served, 6);
}

#[test]
fn a_client_without_a_target_is_closed_and_the_log_says_why() {
    let place = Place::new();
    let front = place.at("front");
    let mut relay = start(&[], &front, &[place.socket()]);
    Client::connect(&front).is_cut();
    let line = relay
        .process
        .stderr
        .line("the reason", |line| line.contains("warning"));
    for word in [
        "pid ",
        "cannot connect to ",
        "app.sock",
        "; its connection is closed",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    // It is there now.
    let mut server = Server::start(place.socket(), &[]);
    Client::connect(&front).converse("hello");
    let ending = relay.stop();
    ending.was_cut();
    assert_eq!((ending.report().served, ending.report().aborted), (1, 1));
    server.stop().is_clean();
}

#[test]
fn a_target_that_appears_in_time_is_waited_for() {
    let place = Place::new();
    let front = place.at("front");
    let mut relay = start(&["--wait", "20s"], &front, &[place.socket()]);
    let mut client = Client::connect(&front);
    client.send("hello\n");
    let mut server = Server::start(place.socket(), &["--echo"]);
    assert_eq!(client.line(), "hello");
    drop(client);
    relay.stop().is_clean();
    server.stop().is_clean();
}
