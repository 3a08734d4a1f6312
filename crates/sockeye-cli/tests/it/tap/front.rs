//! A tap steps in front of a running server, and gives the path back.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::Signal;

use super::{Echo, ask, echo_at, started};
use crate::support::{Client, Place, Process, eventually, set_mode};

#[test]
fn the_path_is_the_same_file_after_a_tap_as_before() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let before = echo.place.snapshot();
        let mut tap = started(&[], &path);
        assert_ne!(echo.inode_now(), Some(echo.inode));
        assert_eq!(ask(&path, b"hello").unwrap(), b"hello");
        tap.stdout.line("the bytes", |line| line.contains("hello"));
        tap.signal(signal);
        let finished = tap.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(echo.place.snapshot(), before);
    }
}

#[test]
fn a_client_never_fails_while_taps_come_and_go() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut count = 0_u32;
                while !is_over.load(Ordering::Relaxed) || count == 0 {
                    let message = count.to_string();
                    let answer = ask(&path, message.as_bytes());
                    assert_eq!(answer.expect("never refused"), message.as_bytes());
                    count += 1;
                }
            });
        }
        for _ in 0..10 {
            let mut tap = started(&[], &path);
            tap.stdout.first_lines(3);
            tap.signal(Signal::TERM);
            assert_eq!(tap.finish().code, Some(0));
            assert!(echo.is_restored());
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_connection_outlives_the_end_of_the_tap_until_it_is_drained() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap = started(&[], &path);
    let mut client = Client::connect(&path);
    client.send("one\n");
    assert_eq!(client.line(), "one");
    tap.signal(Signal::TERM);
    eventually("the path is given back first", || {
        echo.is_restored().then_some(())
    });
    client.send("two\n");
    assert_eq!(client.line(), "two");
    drop(client);
    assert_eq!(tap.finish().code, Some(0));
}

#[test]
fn connections_from_before_are_counted_and_not_disturbed() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut before = [Client::connect(&path), Client::connect(&path)];
    for client in &mut before {
        client.send("one\n");
        assert_eq!(client.line(), "one");
    }
    let mut tap = started(&[], &path);
    tap.stderr.line("their number", |line| {
        line.contains("2 connections from before")
    });
    for client in &mut before {
        client.send("two\n");
        assert_eq!(client.line(), "two");
    }
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
}

#[test]
fn mode_and_owner_follow_in_both_directions() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    set_mode(&path, 0o751);
    let mut tap = started(&[], &path);
    assert_eq!(mode(), 0o751);
    let displaced = echo.place.at(".app.sock.tap");
    let displaced_mode = || std::fs::metadata(&displaced).unwrap().permissions().mode() & 0o7777;
    // As a server does to its path once it listens, and as an administrator does to its file.
    set_mode(&path, 0o660);
    eventually("the server's file has it", || {
        (displaced_mode() == 0o660).then_some(())
    });
    set_mode(&displaced, 0o606);
    eventually("the path has it", || (mode() == 0o606).then_some(()));
    // Just before the end.
    set_mode(&path, 0o600);
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(mode(), 0o600);
    assert!(echo.is_restored());
}

#[test]
fn a_symbolic_link_is_left_and_its_target_displaced() {
    let echo = Echo::start();
    let link = echo.place.at("link");
    std::os::unix::fs::symlink("app.sock", &link).unwrap();
    let before = echo.place.snapshot();
    let mut tap = started(&[], &link);
    for path in [&link, &echo.place.socket()] {
        assert_eq!(ask(path, b"x").unwrap(), b"x");
    }
    tap.stdout
        .line("the second one", |line| line.contains("#2 "));
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(echo.place.snapshot(), before);
}

#[test]
fn a_tap_gives_a_path_up_that_was_replaced() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap = started(&[], &path);
    std::fs::remove_file(&path).unwrap();
    let inode = echo_at(&path);
    let finished = tap.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(echo.place.names(), ["app.sock"]);
}

#[test]
fn a_tap_that_follows_steps_in_front_of_the_next_server() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap: Process = started(&["--follow"], &path);
    for round in 1..=5 {
        // By another name first, so that the path is never free.
        let next = echo.place.at("next");
        let inode = echo_at(&next);
        std::fs::rename(&next, &path).unwrap();
        let displaced = echo.place.at(".app.sock.tap");
        eventually("it is displaced", || {
            let found = std::fs::metadata(&displaced).ok()?;
            (found.ino() == inode).then_some(())
        });
        eventually("it is in front", || {
            let found = std::fs::metadata(&path).ok()?;
            (found.ino() != inode).then_some(())
        });
        assert_eq!(ask(&path, b"x").unwrap(), b"x");
        let number = format!("#{round} ");
        tap.stdout.line(&number, |line| line.contains(&number));
    }
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
    assert_eq!(echo.place.names(), ["app.sock"]);
}

#[test]
fn a_path_that_is_renamed_is_the_servers_by_its_new_name() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap = started(&[], &path);
    let new = echo.place.at("other.sock");
    std::fs::rename(&path, &new).unwrap();
    let finished = tap.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(std::fs::metadata(&new).unwrap().ino(), echo.inode);
    assert_eq!(echo.place.names(), ["other.sock"]);
    assert_eq!(ask(&new, b"x").unwrap(), b"x");
}

#[test]
fn a_client_waits_for_a_busy_server_as_long_as_without_a_tap() {
    let place = Place::new();
    let path = place.socket();
    let server = UnixListener::bind(&path).unwrap();
    set_socket_timeout(&server, Timeout::Recv, Some(Duration::from_secs(20))).unwrap();
    // A backlog of one connection.
    listen(&server, 0).unwrap();
    let mut tap = started(&[], &path);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&path, b"x"))).collect();
        // Longer than a relay waits.
        thread::sleep(Duration::from_millis(10_500));
        for _ in &clients {
            let (mut client, _) = server.accept().unwrap();
            let mut request = Vec::new();
            client.read_to_end(&mut request).unwrap();
            client.write_all(&request).unwrap();
        }
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap(), b"x");
        }
    });
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
}

#[test]
fn no_datagram_is_lost_while_the_server_does_not_read() {
    const COUNT: u32 = 1000;
    let place = Place::new();
    let server = UnixDatagram::bind(place.socket()).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let address = format!("dgram:{}", place.socket().display());
    let mut tap = started(&[], address.as_ref());
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let client = UnixDatagram::unbound().unwrap();
            client.connect(place.socket()).unwrap();
            for number in 0..COUNT {
                client.send(&number.to_ne_bytes()).unwrap();
            }
        });
        // Longer than a relay waits.
        thread::sleep(Duration::from_millis(10_500));
        for number in 0..COUNT {
            let mut received = [0; 4];
            server.recv(&mut received).unwrap();
            assert_eq!(u32::from_ne_bytes(received), number);
        }
        sender.join().unwrap();
    });
    tap.signal(Signal::TERM);
    assert_eq!(tap.finish().code, Some(0));
}
