//! One owner at a time, however many ask.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sockeye::claim::{BlockingListener, ClaimErrorKind, Probe, probe};
use sockeye::{Claim, Kind};

use crate::support::{PATIENCE, Place, leave_stale};

/// Connects by `path` and sees that it is `listener` that answers, and that nobody else had knocked.
#[track_caller]
fn assert_answers(path: &Path, listener: &BlockingListener, token: u8) {
    let mut client = UnixStream::connect(path).unwrap();
    client.write_all(&[token]).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    listener.set_nonblocking(false).unwrap();
    server.set_nonblocking(false).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut byte = [0];
    server.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [token]);
}

#[test]
fn of_many_at_once_one_wins() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 60;
    let place = Place::new();
    let address = place.address();
    let winners = AtomicUsize::new(0);
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (place, address, winners, barrier) = (&place, &address, &winners, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Every other round finds what a killed server leaves.
                    if id == 0 && round % 2 == 0 {
                        leave_stale(&place.socket());
                    }
                    barrier.wait();
                    let claimed = Claim::options().claim(address);
                    if claimed.is_ok() {
                        winners.fetch_add(1, Ordering::SeqCst);
                    }
                    barrier.wait();
                    // No check before the last barrier may panic: the others would wait for ever.
                    let mut bad = winners.load(Ordering::SeqCst) != round + 1;
                    match claimed {
                        Ok(claim) => {
                            let listener = claim.into_blocking().unwrap();
                            bad |= UnixStream::connect(place.socket()).is_err();
                            drop(listener);
                        }
                        Err(error) => {
                            let kind = error.kind();
                            bad |= !matches!(
                                kind,
                                ClaimErrorKind::InUse { .. } | ClaimErrorKind::Locked { .. }
                            );
                        }
                    }
                    if bad {
                        winners.store(usize::MAX / 2, Ordering::SeqCst);
                    }
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!(winners.into_inner(), ROUNDS, "exactly one a round");
    place.assert_empty();
}

/// A file system may give a closed socket's inode number to the next one at once, so a release that
/// closes first removes its successor's file.
#[test]
fn a_release_never_removes_the_successors_file() {
    const THREADS: u8 = 4;
    const OWNERS: usize = 1000;
    const LONG_ENOUGH: Duration = Duration::from_secs(5);
    let place = Place::new();
    let address = place.address();
    let owners = AtomicUsize::new(0);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (place, address, owners) = (&place, &address, &owners);
            scope.spawn(move || {
                let start = Instant::now();
                while owners.load(Ordering::SeqCst) < OWNERS && start.elapsed() < LONG_ENOUGH {
                    match Claim::options().claim(address) {
                        Ok(claim) => {
                            let listener = claim.into_blocking().unwrap();
                            for _ in 0..3 {
                                assert_answers(&place.socket(), &listener, id);
                            }
                            owners.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => assert!(
                            matches!(
                                error.kind(),
                                ClaimErrorKind::InUse { .. } | ClaimErrorKind::Locked { .. }
                            ),
                            "{error}"
                        ),
                    }
                }
            });
        }
    });
    assert_ne!(owners.into_inner(), 0);
    place.assert_empty();
}

#[test]
fn the_owner_keeps_others_out_without_noticing() {
    let place = Place::new();
    let claim = Claim::options().claim(&place.address()).unwrap();
    let listener = claim.into_blocking().unwrap();
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        let error = Claim::options().claim(&place.address_of(kind)).unwrap_err();
        let me = Some(rustix::process::getpid());
        assert_eq!(error.kind(), &ClaimErrorKind::InUse { pid: me });
    }
    assert_answers(&place.socket(), &listener, 7);
}

#[test]
fn a_claim_never_waits() {
    let place = Place::new();
    let _owner = Claim::options().claim(&place.address()).unwrap();
    for _ in 0..20 {
        // It would wait for ever: the owner stays.
        Claim::options().claim(&place.address()).unwrap_err();
    }
}

#[test]
fn an_abstract_name_has_one_owner_and_no_files() {
    let place = Place::new();
    for kind in [Kind::Stream, Kind::SeqPacket, Kind::Datagram] {
        let address = place.abstract_address(kind);
        for _ in 0..3 {
            let claim = Claim::options().claim(&address).unwrap();
            assert_eq!(claim.unsafe_parent(), None);
            let error = Claim::options().claim(&address).unwrap_err();
            let me = Some(rustix::process::getpid());
            assert_eq!(error.kind(), &ClaimErrorKind::InUse { pid: me });
            place.assert_empty();
        }
    }
}

#[test]
fn each_kind_has_its_abstract_names_to_itself() {
    let place = Place::new();
    let kinds = [Kind::Stream, Kind::SeqPacket, Kind::Datagram];
    let mut claims = Vec::new();
    for kind in kinds {
        let address = place.abstract_address(kind);
        assert_eq!(probe(&address), Probe::Absent, "{kind}");
        claims.push(Claim::options().claim(&address).unwrap());
    }
}
