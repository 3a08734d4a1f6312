//! Files of a running server that a cleaner has removed.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::{TAKEOVER, control_path, inode, successor};
use crate::support::{PATIENCE, Place, REPLY, Server, copy_of_sockeye, eventually, lock_path, run};

/// The socket, its lock file and its control socket.
fn files(place: &Place) -> [PathBuf; 3] {
    let socket = place.socket();
    [socket.clone(), lock_path(&socket), control_path(&socket)]
}

fn are_there(place: &Place) -> bool {
    files(place)
        .iter()
        .all(|file| fs::symlink_metadata(file).is_ok())
}

#[test]
fn whichever_are_removed_sighup_restarts() {
    for kind in ["stream:", "seqpacket:"] {
        for removed in 1..8 {
            let place = Place::new();
            let address = format!("{kind}{}", place.socket().display());
            let mut server =
                Server::started_by(Server::command(TAKEOVER).arg(&address), place.socket());
            for (index, file) in files(&place).iter().enumerate() {
                if removed & (1 << index) != 0 {
                    fs::remove_file(file).expect("it is there");
                }
            }
            server.process.signal(Signal::HUP);
            let next = successor(&server.process);
            assert_eq!(server.process.wait().code(), Some(0), "{removed:03b}");
            assert!(are_there(&place), "{removed:03b}: {:?}", place.names());
            let mut send = crate::support::sockeye();
            send.args(["send", &address, "hello"]);
            let answer = run(&mut send);
            assert_eq!(answer.text().trim_end(), REPLY, "{answer:?}");
            drop(next);
        }
    }
}

/// Nobody asks the server for anything.
#[test]
fn a_control_socket_that_was_removed_is_recreated_with_all_else_that_is_missing() {
    for kind in ["stream:", "seqpacket:"] {
        for removed in [4, 5, 6, 7] {
            let place = Place::new();
            let address = format!("{kind}{}", place.socket().display());
            let command = || {
                let mut command = Server::command(TAKEOVER);
                command.arg(&address);
                command
            };
            let mut server = Server::started_by(&mut command(), place.socket());
            for round in 0..3 {
                for (index, file) in files(&place).iter().enumerate() {
                    if removed & (1 << index) != 0 {
                        match round {
                            // Some cleaners move what they take away.
                            0 => fs::rename(file, place.at("away")).expect("it is there"),
                            _ => fs::remove_file(file).expect("it is there"),
                        }
                    }
                }
                eventually("the files are there", || are_there(&place).then_some(()));
            }
            fs::remove_file(place.at("away")).expect("it was moved there");
            let mut next = Server::started_by(&mut command(), place.socket());
            assert_eq!(server.process.wait().code(), Some(0), "{removed:03b}");
            assert!(are_there(&place), "{removed:03b}: {:?}", place.names());
            // The next one watches, too.
            fs::remove_file(control_path(&place.socket())).expect("it is there");
            eventually("the file is there", || are_there(&place).then_some(()));
            assert_eq!(next.stop().code, Some(0));
            assert!(place.names().is_empty(), "{:?}", place.names());
        }
    }
}

/// Before it is watched nothing tells of its removal.
#[test]
fn a_control_socket_that_is_removed_as_soon_as_it_is_there_is_recreated() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    let control = control_path(&place.socket());
    for _ in 0..30 {
        let start = Instant::now();
        while fs::remove_file(&control).is_err() {
            assert!(start.elapsed() < PATIENCE, "it is not recreated");
            std::hint::spin_loop();
        }
    }
    eventually("the file is there", || are_there(&place).then_some(()));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn another_one_takes_over_at_once_though_the_control_socket_was_removed() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    for _ in 0..5 {
        fs::remove_file(control_path(&place.socket())).expect("it is there");
        let next = Server::start(place.socket(), TAKEOVER);
        assert_eq!(server.process.wait().code(), Some(0));
        server = next;
    }
    assert_eq!(server.stop().code, Some(0));
    assert!(place.names().is_empty(), "{:?}", place.names());
}

/// Somebody who was told no has his own file at the name, which stays.
#[test]
fn what_a_stranger_has_put_in_place_of_the_control_socket_is_left() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    let control = control_path(&place.socket());
    fs::write(place.at("new"), "precious").expect("our own place");
    fs::rename(place.at("new"), &control).expect("one file system");
    let said = server
        .process
        .stderr
        .line("it says why", |line| line.contains("cannot be recreated"));
    assert!(said.contains("app.sock.takeover"), "{said}");
    assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(fs::read_to_string(control).expect("it stays"), "precious");
}

/// It would be filled again while it is emptied.
#[test]
fn a_directory_that_is_removed_as_a_whole_stays_removed() {
    let place = Place::new();
    let dir = place.at("dir");
    for _ in 0..30 {
        fs::create_dir(&dir).expect("our own place");
        let mut server = Server::start(dir.join("app.sock"), TAKEOVER);
        let mut client = server.client();
        fs::remove_dir_all(&dir).expect("nobody fills it");
        server.process.stderr.line("it says so", |line| {
            line.contains("was removed; stop this server and start it again")
        });
        client.converse("still here");
        assert!(!dir.exists());
        drop(client);
        server.terminate();
        assert_eq!(server.process.wait().code(), Some(0));
    }
}

/// The new one would find nobody there, and claim the path beside the old one.
#[test]
fn sighup_does_not_restart_where_the_directory_was_moved_removed_or_replaced() {
    for (what, words) in [
        ("moved", "is {dir}-moved now; move it back"),
        ("moved and recreated", "is {dir}-moved now; move it back"),
        ("removed", "was removed"),
        ("removed and recreated", "was removed"),
        ("replaced by a file", "was removed"),
    ] {
        let place = Place::new();
        let dir = place.at("dir");
        fs::create_dir(&dir).expect("our own place");
        let mut server = Server::start(dir.join("app.sock"), TAKEOVER);
        let mut client = server.client();
        client.converse("before");
        match what.split(' ').next() {
            Some("moved") => fs::rename(&dir, place.at("dir-moved")).expect("one file system"),
            _ => fs::remove_dir_all(&dir).expect("our own place"),
        }
        match what.split(' ').next_back() {
            Some("recreated") => fs::create_dir(&dir).expect("our own place"),
            Some("file") => fs::write(&dir, "").expect("our own place"),
            _ => {}
        }
        server.process.signal(Signal::HUP);
        let words = words.replace("{dir}", dir.to_str().expect("plain"));
        let said = server.process.stderr.line(what, |line| {
            line.contains("cannot restart on SIGHUP") && line.ends_with("; still serving")
        });
        assert!(said.contains(&words), "{what}: {said}");
        client.converse("after");
        drop(client);
        server.terminate();
        assert_eq!(server.process.wait().code(), Some(0));
        let said = server.process.stderr.so_far();
        assert!(!said.contains("started pid"), "{what}: {said}");
        let moved = fs::read_dir(place.at("dir-moved"));
        assert_eq!(moved.map_or(0, Iterator::count), 0, "its files are gone");
    }
}

#[test]
fn without_lock_or_socket_file_another_one_takes_over() {
    for removed in 1..4 {
        let place = Place::new();
        let mut server = Server::start(place.socket(), TAKEOVER);
        let mut begun = server.client();
        begun.send("half a mes");
        for (index, file) in files(&place).iter().enumerate().take(2) {
            if removed & (1 << index) != 0 {
                fs::remove_file(file).expect("it is there");
            }
        }
        let mut next = Server::start(place.socket(), TAKEOVER);
        begun.send("sage\n");
        assert_eq!(begun.line(), REPLY);
        assert_eq!(server.process.wait().code(), Some(0));
        assert!(are_there(&place), "{removed:03b}: {:?}", place.names());
        assert_eq!(next.ask("hello\n").trim_end(), REPLY);
        next.stop().is_clean();
        assert_eq!(place.names(), Vec::<std::ffi::OsString>::new());
    }
}

#[test]
fn a_server_whose_path_another_one_has_claimed_does_not_restart() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    // Otherwise it recreates them.
    server.process.freeze();
    for file in files(&place) {
        fs::remove_file(file).expect("it is there");
    }
    let mut other = Server::start(place.socket(), TAKEOVER);
    server.process.thaw();
    server.process.signal(Signal::HUP);
    let said = server.process.stderr.line("the reason", |line| {
        line.contains("cannot restart on SIGHUP")
    });
    assert!(said.contains("still serving"), "{said}");
    assert_eq!(other.ask("hello\n").trim_end(), REPLY);
    assert_eq!(server.stop().code, Some(0));
    assert!(are_there(&place), "{:?}", place.names());
    other.stop().is_clean();
}

#[test]
fn what_a_stranger_has_put_at_the_path_is_left() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), TAKEOVER);
    let mut client = server.client();
    fs::remove_file(place.socket()).expect("it is there");
    let stranger = UnixListener::bind(place.socket()).expect("nobody has the name");
    let before = inode(&place.socket());
    server.process.signal(Signal::HUP);
    server
        .process
        .stderr
        .line("it says why", |line| line.contains("cannot restart"));
    client.converse("still here");
    assert_eq!(inode(&place.socket()), before);
    drop(client);
    server.terminate();
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(inode(&place.socket()), before);
    drop(stranger);
}

/// Whoever has the lock may be about to bind the path.
#[test]
fn nothing_is_recreated_while_somebody_else_has_the_lock() {
    for removed in [1, 2] {
        let place = Place::new();
        let mut server = Server::start(place.socket(), TAKEOVER);
        let [socket, lock, _] = files(&place);
        if removed == 1 {
            fs::remove_file(&socket).expect("it is there");
        }
        fs::remove_file(&lock).expect("it is there");
        let strangers = fs::File::create(&lock).expect("nobody has the name");
        flock(&strangers, FlockOperation::LockExclusive).expect("ours");
        let next = super::spawn(&socket);
        server
            .process
            .stderr
            .line("it says why", |line| line.contains("cannot be recreated"));
        assert_eq!(fs::symlink_metadata(&socket).is_ok(), removed != 1);
        drop(strangers);
        next.stderr
            .line("it takes over", |line| line.starts_with("listening on"));
        assert_eq!(server.process.wait().code(), Some(0));
        assert!(are_there(&place), "{:?}", place.names());
    }
}

#[test]
fn who_waits_at_a_removed_socket_is_served() {
    let place = Place::new();
    let options = ["--takeover", "--max-connections", "1"];
    let mut server = Server::start(place.socket(), &options);
    let mut only = server.client();
    only.converse("one");
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let mut waiting = UnixStream::connect(place.socket()).expect("room in the backlog");
            waiting.write_all(b"two\n").expect("room");
            crate::support::Client::of(waiting)
        })
        .collect();
    fs::remove_file(place.socket()).expect("it is there");
    let next = Server::start(place.socket(), TAKEOVER);
    drop(only);
    for mut client in waiting {
        assert_eq!(client.line(), REPLY);
    }
    assert_eq!(server.process.wait().code(), Some(0));
    drop(next);
}

/// A container that has mounted the file itself still reaches the old socket.
#[test]
fn who_comes_by_another_name_of_a_removed_socket_is_served() {
    let place = Place::new();
    let sockeye = copy_of_sockeye(&place);
    let mut command = Command::new(&sockeye);
    command.args(["serve", "--takeover"]).arg(place.socket());
    let mut server = Server::started_by(&mut command, place.socket());
    let other = place.at("other.sock");
    fs::hard_link(place.socket(), &other).expect("one file system");
    fs::remove_file(place.socket()).expect("it is there");
    // The files are recreated, and the next one then does not come.
    fs::remove_file(&sockeye).expect("it is there");
    server.process.signal(Signal::HUP);
    server
        .process
        .stderr
        .line("it goes on", |line| line.ends_with("still serving"));
    for path in [place.socket(), other] {
        let mut client = crate::support::Client::connect(path);
        client.converse("hello");
    }
    server.terminate();
    assert_eq!(server.process.wait().code(), Some(0));
}
