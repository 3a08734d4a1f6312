//! Either side stopped (SIGSTOP), slow, or told to stop, at any step.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;

use super::{TAKEOVER, control_path, rounds, spawn};
use crate::support::{Client, Place, Process, Server, eventually};

/// The last of some servers in a row, and how long a takeover takes, start of the process included.
fn whole(place: &Place) -> (Process, Duration) {
    let mut server = Server::start(place.socket(), TAKEOVER);
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let from = Instant::now();
        server = Server::start(place.socket(), TAKEOVER);
        shortest = shortest.min(from.elapsed());
    }
    (server.process, shortest)
}

/// A moment somewhere in it.
fn moment(random: &RandomState, round: usize, whole: Duration) -> Duration {
    whole.mul_f64((random.hash_one(round) % 1000) as f64 / 900.0)
}

#[track_caller]
fn serves(process: &Process) {
    process
        .stderr
        .line("it serves", |line| line.starts_with("listening on"));
}

/// Each wait on the way to a takeover is shorter than one of these.
#[test]
fn an_old_server_that_hangs_and_is_killed_later_is_succeeded() {
    let hang = |milliseconds: u64| {
        let place = Place::new();
        let old = Server::start(place.socket(), TAKEOVER);
        old.process.freeze();
        let mut new = spawn(&place.socket());
        // The delay is what is tested here.
        thread::sleep(Duration::from_millis(milliseconds));
        old.process.signal(Signal::KILL);
        serves(&new);
        let mut client = Client::connect(place.socket());
        client.converse("hello");
        drop(client);
        new.signal(Signal::TERM);
        assert_eq!(new.wait().code(), Some(0));
    };
    thread::scope(|scope| {
        for delay in [0, 300, 800, 1200, 3000, 11000] {
            scope.spawn(move || hang(delay));
        }
    });
}

#[test]
fn an_old_server_that_is_slow_hands_over_when_it_goes_on() {
    let place = Place::new();
    let mut old = Server::start(place.socket(), TAKEOVER);
    old.process.freeze();
    let new = spawn(&place.socket());
    thread::sleep(Duration::from_millis(1200));
    old.process.thaw();
    serves(&new);
    assert_eq!(old.process.wait().code(), Some(0));
    Client::connect(place.socket()).converse("hello");
}

#[test]
fn a_new_server_that_hangs_at_whichever_step_leaves_the_old_one_serving() {
    let place = Place::new();
    let random = RandomState::new();
    let (mut server, whole) = whole(&place);
    // Frozen: before it had the path, and when it had it.
    let mut frozen = [0; 2];
    for round in 0..rounds(20) {
        let mut next = spawn(&place.socket());
        thread::sleep(moment(&random, round, whole));
        next.freeze();
        // Whichever it is, it does not change any more.
        let mut client = Client::connect(place.socket());
        client.send(format!("round {round}\n"));
        let message = format!("round {round}");
        let has_handed_over = eventually("it has decided", || {
            if server.stdout.so_far().contains(&message) {
                return Some(false);
            }
            server
                .stderr
                .so_far()
                .contains("handed over to")
                .then_some(true)
        });
        frozen[usize::from(has_handed_over)] += 1;
        if !has_handed_over && round % 2 == 0 {
            next.signal(Signal::KILL);
            next.wait();
            client.converse("still here");
            continue;
        }
        next.thaw();
        assert_eq!(client.line(), crate::support::REPLY);
        drop(client);
        serves(&next);
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr.so_far());
        server = next;
    }
    println!(
        "frozen: {} before, {} after it had the path",
        frozen[0], frozen[1]
    );
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(place.names(), Vec::<std::ffi::OsString>::new());
}

#[test]
fn sigterm_to_the_old_server_at_whichever_step_leaves_the_new_one() {
    let place = Place::new();
    let random = RandomState::new();
    let (mut server, whole) = whole(&place);
    for round in 0..rounds(30) {
        let next = spawn(&place.socket());
        thread::sleep(moment(&random, round, whole));
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0), "{}", server.stderr.so_far());
        serves(&next);
        Client::connect(place.socket()).converse("hello");
        server = next;
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(place.names(), Vec::<std::ffi::OsString>::new());
}

#[test]
fn one_that_waits_for_a_server_that_hangs_can_be_stopped() {
    let place = Place::new();
    let old = Server::start(place.socket(), TAKEOVER);
    old.process.freeze();
    let mut new = spawn(&place.socket());
    // It has connected, and waits.
    let control = control_path(&place.socket());
    eventually("it asks", || {
        // Any name may be among them.
        let sockets = std::fs::read("/proc/net/unix").expect("readable");
        let sockets = String::from_utf8_lossy(&sockets);
        let lines = sockets
            .lines()
            .filter(|line| line.ends_with(control.to_str().expect("plain")));
        (lines.count() > 1).then_some(())
    });
    new.signal(Signal::TERM);
    assert_eq!(new.wait().code(), Some(0), "{}", new.stderr.so_far());
    old.process.thaw();
    Client::connect(place.socket()).converse("still here");
}

#[test]
fn silent_connections_at_the_control_socket_keep_no_successor_waiting() {
    let place = Place::new();
    let mut old = Server::start(place.socket(), TAKEOVER);
    let address = SocketAddrUnix::new(control_path(&place.socket())).expect("short");
    let silent: Vec<_> = (0..130)
        .map(|_| {
            let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
            let client = socket_with(AddressFamily::UNIX, kind, flags, None).expect("one more");
            connect(&client, &address).expect("it accepts");
            client
        })
        .collect();
    let mut new = Server::start(place.socket(), TAKEOVER);
    assert_eq!(old.process.wait().code(), Some(0));
    let held = super::open_descriptors(new.process.id());
    assert!(held < 60, "{held} descriptors");
    drop(silent);
    new.stop().is_clean();
}
