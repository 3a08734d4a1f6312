//! `claim_or_connect`: the first process serves, the others call it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sockeye::claim::{BlockingListener, ClaimErrorKind};
use sockeye::connect::{ClaimOrConnectError, Claimed, ConnectErrorKind};
use sockeye::{Address, Claim, Kind};

use crate::support::{PATIENCE, Place, as_nobody, fill_backlog, leave_stale, listening, skipped};

/// Accepts and answers one client.
fn answer(listener: &BlockingListener) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    stream.write_all(&byte).unwrap();
}

fn assert_answered(mut stream: UnixStream, byte: u8) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[byte]).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [byte]);
}

#[test]
fn the_first_one_listens_and_the_next_is_connected_to_it() {
    let place = Place::new();
    for address in [place.address(), place.abstract_address(Kind::Stream)] {
        for is_stale in [false, address.path().is_some()] {
            if is_stale {
                leave_stale(&place.socket());
            }
            let options = Claim::options();
            let Claimed::First(claim) = options.claim_or_connect(&address).unwrap() else {
                panic!("nobody was there");
            };
            let Claimed::Running(client) = options.claim_or_connect(&address).unwrap() else {
                panic!("it is claimed");
            };
            let listener = claim.into_blocking().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| answer(&listener));
                assert_answered(client, b'x');
            });
        }
        place.assert_empty();
    }
}

#[test]
fn of_many_at_once_one_is_the_first_and_answers_the_others() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 40;
    let place = Place::new();
    let (address, barrier) = (place.address(), Barrier::new(THREADS));
    for round in 0..ROUNDS {
        let first = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    match Claim::options().claim_or_connect(&address).unwrap() {
                        Claimed::First(claim) => {
                            first.fetch_add(1, Ordering::SeqCst);
                            let listener = claim.into_blocking().unwrap();
                            (1..THREADS).for_each(|_| answer(&listener));
                        }
                        Claimed::Running(client) => assert_answered(client, round as u8),
                    }
                });
            }
        });
        assert_eq!(first.into_inner(), 1);
        place.assert_empty();
    }
}

/// Each is the first or has connected to one, whenever the first one ends.
#[test]
fn servers_that_come_and_go_are_no_error() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 100;
    let place = Place::new();
    let address = place.address();
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..ROUNDS {
                    drop(Claim::options().claim_or_connect(&address).unwrap());
                }
            });
        }
    });
    place.assert_empty();
}

#[test]
fn what_stands_in_the_way_is_named() {
    let place = Place::new();
    let options = Claim::options();
    let connect_error = |address: &Address| match options.claim_or_connect(address).unwrap_err() {
        ClaimOrConnectError::Connect(error) => error,
        other => panic!("{other}"),
    };
    let error = connect_error(&place.address_of(Kind::Datagram));
    assert!(matches!(
        error.kind(),
        ConnectErrorKind::WrongAddressKind { .. }
    ));
    let packets = listening(Kind::SeqPacket, &place.socket(), 1);
    let error = connect_error(&place.address());
    assert!(matches!(error.kind(), ConnectErrorKind::WrongKind { .. }));
    drop(packets);
    std::fs::remove_file(place.socket()).unwrap();

    std::fs::write(place.socket(), "data").unwrap();
    let error = options.claim_or_connect(&place.address()).unwrap_err();
    let ClaimOrConnectError::Claim(error) = error else {
        panic!("{error}");
    };
    assert!(matches!(error.kind(), ClaimErrorKind::NotASocket(_)));
    std::fs::remove_file(place.socket()).unwrap();

    place.open_to_all();
    let _owner = options.claim(&place.address()).unwrap();
    let denied = as_nobody(|| connect_error(&place.address()));
    if let Some(error) = denied {
        assert!(matches!(error.kind(), ConnectErrorKind::ModeDenies { .. }));
    }
}

#[test]
fn a_full_backlog_is_waited_for() {
    let place = Place::new();
    let listener = listening(Kind::Stream, &place.socket(), 0);
    let waiting = fill_backlog(Kind::Stream, &place.socket());
    if waiting.is_empty() {
        return skipped("the backlog has no end");
    }
    thread::scope(|scope| {
        let asked = scope.spawn(|| Claim::options().claim_or_connect(&place.address()));
        // However late it asks, one of these makes room for it.
        for _ in &waiting {
            rustix::net::accept(&listener).unwrap();
        }
        assert!(matches!(asked.join().unwrap(), Ok(Claimed::Running(_))));
    });
}
