//! `PATH.lock`: ours while we live, never somebody else's.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Mode, Timespec, Timestamps, flock, mkfifoat, utimensat,
};

use crate::support::{Place, Server, lock_path, require_peer, run, stale_socket};

/// `serve` refuses with exit 4, names the lock, and nothing in the directory changes.
#[track_caller]
fn refused_untouched(place: &Place, words: &[&str]) {
    let before = place.snapshot();
    run(Server::command(&[]).arg(place.socket())).fails(4, words);
    assert_eq!(place.snapshot(), before, "untouched, and nothing of ours");
}

#[test]
fn the_lock_file_is_private_and_held_as_long_as_the_server_lives() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--mode", "0666"]);
    let meta = fs::symlink_metadata(server.lock_path()).expect("it is there");
    assert!(meta.is_file());
    assert_eq!(meta.mode() & 0o7777, 0o1600);
    let file = File::open(server.lock_path()).expect("our own");
    let held = flock(&file, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(held, Err(rustix::io::Errno::WOULDBLOCK));
    server.stop().is_clean();
}

#[test]
fn systemd_tmpfiles_leaves_the_files_of_a_live_server() {
    let Some(tool) = require_peer("systemd-tmpfiles") else {
        return;
    };
    let (place, configuration) = (Place::new(), Place::new());
    let mut server = Server::start(place.socket(), &["--takeover"]);
    fs::write(place.at("other"), "").expect("our own place");
    let old = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: old,
        last_modification: old,
    };
    for name in place.names() {
        utimensat(CWD, place.at(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("our own");
    }
    let rule = format!("d {} - - - am:1d\n", place.dir().display());
    fs::write(configuration.at("rule.conf"), rule).expect("our own place");
    let cleaned = run(Command::new(tool)
        .arg("--clean")
        .arg(configuration.at("rule.conf")));
    assert_eq!(cleaned.code, Some(0), "{cleaned:#?}");
    let left = ["app.sock", "app.sock.lock", "app.sock.takeover"];
    assert_eq!(
        place.names(),
        left,
        "and what is old and of nobody has gone"
    );
    server.stop().is_clean();
}

#[test]
fn a_users_file_of_that_name_survives() {
    for stale in [false, true] {
        let place = Place::new();
        if stale {
            stale_socket(&place.socket());
        }
        fs::write(lock_path(&place.socket()), "dependencies of my project\n").expect("our own");
        refused_untouched(&place, &["app.sock.lock"]);
    }
}

#[test]
fn a_symlink_of_that_name_is_not_followed() {
    let place = Place::new();
    fs::write(place.at("target"), "precious").expect("our own place");
    symlink("target", lock_path(&place.socket())).expect("a fresh path");
    refused_untouched(&place, &["app.sock.lock"]);
    // Nor does it create what a dangling one points to.
    let place = Place::new();
    symlink("missing", lock_path(&place.socket())).expect("a fresh path");
    refused_untouched(&place, &["app.sock.lock"]);
}

#[test]
fn a_directory_of_that_name_survives() {
    let place = Place::new();
    fs::create_dir(lock_path(&place.socket())).expect("our own place");
    refused_untouched(&place, &["app.sock.lock"]);
}

#[test]
fn a_fifo_of_that_name_does_not_hang_us() {
    let place = Place::new();
    mkfifoat(CWD, lock_path(&place.socket()), Mode::RUSR | Mode::WUSR).expect("our own place");
    refused_untouched(&place, &["app.sock.lock"]);
}

#[test]
fn a_lock_held_by_another_is_in_use_at_once() {
    let place = Place::new();
    stale_socket(&place.socket());
    let file = File::create(lock_path(&place.socket())).expect("our own place");
    flock(&file, FlockOperation::LockExclusive).expect("a fresh file");
    // It would hang here, and fail by the patience of `run`, did it wait for the lock.
    refused_untouched(&place, &[place.socket().to_str().expect("plain")]);
    drop(file);
    let mut server = Server::start(place.socket(), &[]);
    server.stop().is_clean();
}

#[test]
fn an_empty_lock_that_nobody_holds_is_taken_over() {
    let place = Place::new();
    File::create(lock_path(&place.socket())).expect("our own place");
    let mut server = Server::start(place.socket(), &[]);
    server.ask("hello\n");
    server.stop().is_clean();
    assert_eq!(place.names().len(), 0);
}

#[test]
fn a_live_server_without_its_lock_is_still_not_displaced() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    fs::remove_file(server.lock_path()).expect("the user removes the lock");
    let pid = server.process.id().to_string();
    refused_untouched(&place, &[&pid]);
    server.ask("still there?\n");
}

#[test]
fn a_live_server_without_its_path_still_holds_its_lock() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    fs::remove_file(place.socket()).expect("the user removes the socket");
    refused_untouched(&place, &[]);
    assert!(server.lock_path().exists());
}

#[test]
fn a_file_that_took_the_place_of_our_lock_survives_our_end() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    fs::remove_file(server.lock_path()).expect("the user removes the lock");
    fs::write(server.lock_path(), "precious").expect("and writes a file there");
    server.terminate();
    assert_eq!(server.ending().code, Some(0));
    let content = fs::read_to_string(lock_path(&place.socket())).expect("still there");
    assert_eq!(content, "precious");
    assert!(!place.socket().exists());
}
