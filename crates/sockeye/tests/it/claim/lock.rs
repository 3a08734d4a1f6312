//! The lock file.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use sockeye::Claim;
use sockeye::claim::ClaimErrorKind;

use super::denied;
use crate::support::{Place, bound, holds, identity, leave_stale, mode_of, set_mode, with_umask};

#[test]
fn the_lock_file_is_private_and_lives_as_long_as_the_claim() {
    let place = Place::new();
    let claim = Claim::options()
        .mode(0o666)
        .claim(&place.address())
        .unwrap();
    assert_eq!(place.names(), ["app.sock", "app.sock.lock"]);
    assert_eq!(mode_of(&place.lock()), 0o1600);
    assert_eq!(fs::metadata(place.lock()).unwrap().len(), 0);
    assert_eq!(holds(&place.lock()), Some(true), "open and close-on-exec");
    let other = fs::File::open(place.lock()).unwrap();
    let attempt = flock(&other, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(attempt, Err(rustix::io::Errno::WOULDBLOCK));
    let listener = claim.into_blocking().unwrap();
    assert!(place.lock().exists());
    drop(listener);
    place.assert_empty();
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn the_mode_of_the_lock_file_is_exact_whatever_the_umask() {
    for umask in [0, 0o022, 0o777] {
        let place = Place::new();
        let mode = with_umask(umask, || {
            let claim = Claim::options().claim(&place.address()).unwrap();
            let mode = mode_of(&place.lock());
            drop(claim);
            mode
        });
        assert_eq!(mode, 0o1600, "umask {umask:o}");
    }
}

#[test]
fn a_claim_that_fails_leaves_no_lock_file() {
    let place = Place::new();
    fs::write(place.socket(), "data").unwrap();
    denied(&place.address());
    assert_eq!(place.names(), ["app.sock"]);
    assert_eq!(holds(&place.lock()), None);
}

#[test]
fn who_holds_it_owns_the_path() {
    let place = Place::new();
    let lock = fs::File::create(place.lock()).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    leave_stale(&place.socket());
    let before = (identity(&place.socket()), identity(&place.lock()));
    let pid = Some(rustix::process::getpid());
    assert_eq!(denied(&place.address()), ClaimErrorKind::Locked { pid });
    assert_eq!((identity(&place.socket()), identity(&place.lock())), before);
    drop(lock);
    drop(Claim::options().claim(&place.address()).unwrap());
    place.assert_empty();
}

#[test]
fn a_lock_file_that_a_killed_owner_left_is_taken_over() {
    let place = Place::new();
    // By hand, and by a version that did not set the sticky bit.
    for mode in [0o644, 0o600] {
        fs::write(place.lock(), "").unwrap();
        set_mode(&place.lock(), mode);
        let claim = Claim::options().claim(&place.address()).unwrap();
        assert_eq!(mode_of(&place.lock()), 0o1600);
        drop(claim);
        place.assert_empty();
    }
}

#[test]
fn somebody_elses_file_of_this_name_stays() {
    let place = Place::new();
    let target = place.at("target");
    let assert_stays = |file| {
        let before = identity(&place.lock());
        assert_eq!(
            denied(&place.address()),
            ClaimErrorKind::ForeignLockFile(file)
        );
        assert_eq!(identity(&place.lock()), before);
        assert_eq!(identity(&place.socket()), None);
        assert_eq!(identity(&target), None, "not made through a link");
    };
    fs::write(place.lock(), "data").unwrap();
    assert_stays(FileType::RegularFile);
    assert_eq!(fs::read(place.lock()).unwrap(), b"data");
    fs::remove_file(place.lock()).unwrap();

    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, place.lock(), FileType::Fifo, mode, 0).unwrap();
    assert_stays(FileType::Fifo);
    fs::remove_file(place.lock()).unwrap();

    fs::create_dir(place.lock()).unwrap();
    assert_stays(FileType::Directory);
    fs::remove_dir(place.lock()).unwrap();

    let _server = bound(sockeye::Kind::Stream, &place.lock());
    assert_stays(FileType::Socket);
    fs::remove_file(place.lock()).unwrap();

    symlink(&target, place.lock()).unwrap();
    assert_stays(FileType::Symlink);
}

#[test]
fn a_link_in_its_place_leads_nowhere() {
    let place = Place::new();
    fs::write(place.at("target"), "").unwrap();
    symlink(place.at("target"), place.lock()).unwrap();
    let before = identity(&place.at("target"));
    let found = denied(&place.address());
    assert_eq!(found, ClaimErrorKind::ForeignLockFile(FileType::Symlink));
    assert_eq!(identity(&place.at("target")), before);
}

#[test]
fn a_lock_file_that_a_stranger_removed_keeps_nobody_in() {
    let place = Place::new();
    let owner = Claim::options().claim(&place.address()).unwrap();
    fs::remove_file(place.lock()).unwrap();
    let before = identity(&place.socket());
    let me = Some(rustix::process::getpid());
    assert_eq!(denied(&place.address()), ClaimErrorKind::InUse { pid: me });
    assert_eq!(identity(&place.socket()), before);
    drop(owner);
    place.assert_empty();
}

#[test]
fn a_release_leaves_a_strangers_lock_file() {
    let place = Place::new();
    for content in ["", "data"] {
        let claim = Claim::options().claim(&place.address()).unwrap();
        fs::remove_file(place.lock()).unwrap();
        fs::write(place.lock(), content).unwrap();
        let before = identity(&place.lock());
        drop(claim);
        assert_eq!(identity(&place.lock()), before);
        assert_eq!(place.names(), ["app.sock.lock"]);
        fs::remove_file(place.lock()).unwrap();
    }
}

/// The predecessor removes its lock file while holding it. Who had opened that file by then, and
/// locks it afterwards, has locked nothing; this is the window that the race tests hit.
#[test]
fn a_lock_on_a_removed_file_is_none() {
    let place = Place::new();
    let removed = fs::File::create(place.lock()).unwrap();
    fs::remove_file(place.lock()).unwrap();
    flock(&removed, FlockOperation::NonBlockingLockExclusive).unwrap();
    let claim = Claim::options().claim(&place.address()).unwrap();
    assert_eq!(denied(&place.address()), {
        let pid = Some(rustix::process::getpid());
        ClaimErrorKind::InUse { pid }
    });
    drop(claim);
}
