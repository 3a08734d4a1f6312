//! A peer or a relay that dies: a reset never looks like an orderly end.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use super::start;
use crate::support::{Client, PATIENCE, Place, Server};

/// A target, and two relays in a row in front of it.
struct Chain {
    place: Place,
    target: UnixListener,
    relays: [Server; 2],
}

impl Chain {
    fn start(options: &[&str]) -> Self {
        let place = Place::new();
        let target = UnixListener::bind(place.socket()).expect("a fresh path");
        let (inner, outer) = (place.at("inner"), place.at("outer"));
        let relays = [
            start(options, &inner, &[place.socket()]),
            start(options, &outer, &[&inner]),
        ];
        Self {
            place,
            target,
            relays,
        }
    }

    fn connect(&self) -> [UnixStream; 2] {
        let client = UnixStream::connect(self.place.at("outer")).expect("it listens");
        let (target, _) = self.target.accept().expect("the relays come");
        [client, target]
    }
}

/// How many bytes came, and whether a reset was the end.
#[track_caller]
fn read_all(stream: &mut UnixStream) -> (usize, bool) {
    stream.set_read_timeout(Some(PATIENCE)).expect("our own");
    let (mut count, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, false),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (count, true),
            Err(error) => panic!("after {count} bytes: {error}"),
        }
    }
}

#[test]
fn a_peer_that_dies_with_unread_input_ends_in_a_reset_or_a_complete_stream() {
    for options in [&[] as &[&str], &["--fds", "refuse"]] {
        let chain = Chain::start(options);
        let sizes = [0, 1, 100, 33_000, 70_000, 300_000];
        let ways = [(false, false), (false, true), (true, false), (true, true)];
        thread::scope(|rounds| {
            for (size, (client_dies, half_closes)) in
                sizes.iter().flat_map(|&size| ways.map(|way| (size, way)))
            {
                let [client, target] = chain.connect();
                let (dying, survivor) = if client_dies {
                    (client, target)
                } else {
                    (target, client)
                };
                rounds.spawn(move || dies(dying, survivor, size, half_closes));
            }
        });
    }
}

/// `dying` sends so many bytes and dies with unread input.
#[track_caller]
fn dies(mut dying: UnixStream, mut survivor: UnixStream, size: usize, half_closes: bool) {
    survivor.write_all(&[b'x'; 7000]).expect("there is room");
    if half_closes {
        let end = std::net::Shutdown::Write;
        survivor.shutdown(end).expect("connected");
    }
    let sends = thread::spawn(move || {
        poll(&mut [PollFd::new(&dying, PollFlags::IN)], None).expect("input comes");
        dying.write_all(&vec![b'y'; size]).expect("it is read");
    });
    let (count, is_reset) = read_all(&mut survivor);
    sends.join().expect("it has sent all");
    assert!(is_reset || count == size, "{count} of {size}, then EOF");
}

#[test]
fn a_relay_that_is_killed_between_two_floods_resets_both() {
    for options in [&[] as &[&str], &["--fds", "refuse"]] {
        for killed in 0..2 {
            let chain = Chain::start(options);
            let [client, target] = chain.connect();
            let mut peers = [Client::of(client), Client::of(target)];
            for peer in &mut peers {
                peer.send_until_stuck(|_| b'x');
            }
            chain.relays[killed].process.signal(Signal::KILL);
            for peer in &mut peers {
                let mut stream = peer.stream().try_clone().expect("our own");
                stream.set_nonblocking(false).expect("our own");
                let (_, is_reset) = read_all(&mut stream);
                assert!(is_reset, "relay {killed} is killed");
            }
        }
    }
}
