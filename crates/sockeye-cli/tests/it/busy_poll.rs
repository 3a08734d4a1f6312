//! `--busy-poll`: the same answers, and a processor that is not kept busy for nothing.

use std::fs;
use std::time::Duration;

use crate::support::{Place, REPLY, Server, run, sockeye};

#[test]
fn a_server_and_a_client_that_poll_understand_each_other() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--busy-poll", "200us"]);
    for _ in 0..20 {
        let mut send = sockeye();
        send.args(["send", "--busy-poll", "200us"]);
        let ended = run(send.arg(place.socket()).arg("hello"));
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_eq!(ended.stdout, format!("{REPLY}\n").as_bytes());
    }
    assert_eq!(server.stop().is_clean().served, 20);
}

/// A tick is 10 ms: even if each connection polled to its limit once more, that would be less.
#[test]
fn a_server_whose_connections_are_idle_sleeps() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--busy-poll", "200us"]);
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        client.converse("hello");
    }
    let pid = server.process.id();
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let fields = stat.rsplit(") ").next().expect("fields").to_owned();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum::<u64>()
    };
    let before = state();
    // Nothing of ours is waited for: what is looked at is what happens when nothing does.
    std::thread::sleep(Duration::from_millis(500));
    assert!(state() - before <= 2, "it was busy for nothing");
}

#[test]
fn datagrams_have_no_connection_to_poll() {
    let mut serve = Server::command(&["--busy-poll", "50us"]);
    run(serve.arg("dgram:@busy")).fails(2, &["--busy-poll", "without a connection"]);
}
