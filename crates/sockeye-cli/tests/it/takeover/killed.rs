//! SIGKILL of either side, at any step.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{TAKEOVER, rounds, spawn};
use crate::support::{Client, Place, Process, Server, eventually};

#[test]
fn whoever_is_killed_at_whichever_step_one_server_is_left_and_answers() {
    let place = Place::new();
    let random = RandomState::new();
    // How long it takes, so that the kills fall into all of it.
    let old = Server::start(place.socket(), TAKEOVER);
    let from = Instant::now();
    let mut server = Server::start(place.socket(), TAKEOVER).process;
    let whole = from.elapsed();
    drop(old);
    // Killed: predecessors, successors before they served, and after.
    let mut killed = [0; 3];
    for round in 0..rounds(20) {
        let number = random.hash_one(round);
        let delay = whole.mul_f64((number % 1000) as f64 / 900.0);
        let mut next = spawn(&place.socket());
        let until = Instant::now() + delay;
        // The moment is what is random here.
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        if (number >> 32).is_multiple_of(2) {
            killed[0] += 1;
            server.signal(Signal::KILL);
            server.wait();
            next.stderr
                .line("the successor serves", |line| line.contains("listening on"));
            server = next;
        } else {
            next.signal(Signal::KILL);
            next.wait();
            if has_gone(&server, &place.socket()) {
                // It was the only one, and may not have come to say that it listens.
                killed[2] += 1;
                server = Server::start(place.socket(), TAKEOVER).process;
            } else {
                killed[1] += 1;
            }
        }
        // Exactly one is left, and it is this one.
        assert!(
            !server.ends_within(Duration::ZERO),
            "round {round}: {}",
            server.stderr.so_far()
        );
        let mut client = Client::connect(place.socket());
        client.converse(&format!("round {round}"));
        drop(client);
        server.stdout.line("it was this one that answered", |line| {
            line.ends_with(&format!("round {round}"))
        });
    }
    println!(
        "killed: {} predecessors, {} successors before they served, {} after",
        killed[0], killed[1], killed[2]
    );
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(
        place.names(),
        Vec::<std::ffi::OsString>::new(),
        "nothing is left"
    );
}

/// Whether the predecessor of a successor that was killed as it began to serve had gone by then, or
/// has taken the path back.
fn has_gone(server: &Process, path: &Path) -> bool {
    eventually("it has decided", || {
        if server.stderr.so_far().contains("handed over to") {
            return Some(true);
        }
        answers(path).ok().map(|()| false)
    })
}

fn answers(path: &Path) -> std::io::Result<()> {
    let mut client = UnixStream::connect(path)?;
    client.set_read_timeout(Some(Duration::from_millis(100)))?;
    client.write_all(b"are you there\n")?;
    client.read_exact(&mut [0])
}
