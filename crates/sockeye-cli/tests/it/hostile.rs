//! Clients that mean no good, or do not know better.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::support::{Client, Place, REPLY, Server, eventually};

/// Far above what the server needs, far below what the clients here send.
const MEMORY_KIB: u64 = 64 * 1024;

#[track_caller]
fn is_well(server: &Server) {
    assert_eq!(server.ask("are you well?\n"), format!("{REPLY}\n"));
    let log = server.process.stderr.so_far();
    assert!(!log.contains("panicked"), "{log}");
    let peak = server.process.memory_kib("VmHWM");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

#[test]
fn a_message_may_come_one_byte_at_a_time() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut client = server.client();
    for byte in b"slowly, but surely\nand again\n" {
        client.send([*byte]);
    }
    assert_eq!(client.line(), REPLY);
    assert_eq!(client.line(), REPLY);
    let lines = server.process.stdout.first_lines(2);
    assert!(lines[0].ends_with(": slowly, but surely"), "{lines:?}");
    assert!(lines[1].ends_with(": and again"), "{lines:?}");
    is_well(&server);
}

#[test]
fn a_server_may_see_each_byte_of_a_message_alone() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--echo"]);
    let mut client = server.client();
    for byte in 0..=255 {
        client.send([byte]);
        assert_eq!(client.exactly(1), [byte]);
    }
}

#[test]
fn a_client_that_reads_no_answers_and_leaves_harms_nobody() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    for _ in 0..50 {
        let mut client = server.client();
        client.send("question\n".repeat(20));
        // Closed with answers unread: the server's next write or read fails.
        drop(client);
    }
    is_well(&server);
    server.stop().is_clean();
}

#[test]
fn a_reset_in_the_middle_of_a_message_harms_nobody() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    for _ in 0..50 {
        let mut client = server.client();
        client.converse("first");
        client.send("second\nthi");
        // An answer unread makes it a reset instead of an end of input.
        drop(client);
    }
    is_well(&server);
    server.stop().is_clean();
}

#[test]
fn a_client_that_shuts_down_both_ways_at_once_harms_nobody() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    for _ in 0..50 {
        let mut client = server.client();
        client.send("question\n");
        let _ = client.stream().shutdown(Shutdown::Both);
    }
    is_well(&server);
    server.stop().is_clean();
}

/// Sends up to `limit` bytes and returns how many went through before the server cut it off.
fn flood(client: &Client, byte: u8, limit: usize) -> usize {
    let chunk = vec![byte; 1 << 16];
    let mut sent = 0;
    while sent < limit {
        match client.stream().write(&chunk) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                    "{error}"
                );
                return sent;
            }
        }
    }
    sent
}

#[test]
fn a_gibibyte_without_a_newline_is_refused() {
    const GIB: usize = 1 << 30;
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut other = server.client();
    let client = server.client();
    let sent = flood(&client, b'x', GIB);
    assert!(sent < GIB / 16, "aborted early, not after {sent}");
    assert!(sent >= 1 << 20, "not before the limit: {sent}");
    other.converse("untouched");
    is_well(&server);
}

#[test]
fn many_at_once_without_a_newline_harm_nobody() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--max-message", "64KiB"]);
    let floods: Vec<_> = (0..16)
        .map(|_| {
            let client = server.client();
            std::thread::spawn(move || flood(&client, 0, 1 << 26))
        })
        .collect();
    for flood in floods {
        let sent = flood.join().expect("no panic");
        assert!(sent < 1 << 25, "aborted early, not after {sent}");
    }
    is_well(&server);
}

#[test]
fn an_echo_that_nobody_reads_is_bounded() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--echo"]);
    let mut client = server.client();
    let sent = client.send_until_stuck(|_| b'x');
    assert!(sent < 16 << 20, "the server stops reading: {sent}");
    let peak = server.process.memory_kib("VmHWM");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    assert_eq!(server.ask("the others are served"), "the others are served");
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut client = server.client();
    let sent = client.send_until_stuck(|_| b'\n');
    assert!(sent < 16 << 20, "the server stops reading: {sent}");
    is_well(&server);
}

#[test]
fn frames_that_promise_much_and_bring_nothing_take_no_memory() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "length"]);
    let clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = server.client();
            client.send((1_u32 << 20).to_be_bytes());
            client.send(b"x");
            client
        })
        .collect();
    let mut client = server.client();
    client.send(b"\0\0\0\x02hi");
    client.exactly(4 + REPLY.len());
    let peak = server.process.memory_kib("VmHWM");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    drop(clients);
}

#[test]
fn hundreds_that_only_connect_harm_nobody() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let silent: Vec<Client> = (0..300).map(|_| server.client()).collect();
    is_well(&server);
    drop(silent);
    is_well(&server);
}

#[test]
fn idle_connections_use_no_processor_time() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut idle: Vec<Client> = (0..100).map(|_| server.client()).collect();
    for client in &mut idle {
        client.converse("hello");
    }
    let before = server.process.cpu_ticks();
    std::thread::sleep(Duration::from_millis(500));
    let used = server.process.cpu_ticks() - before;
    assert!(used <= 2, "{used} ticks in half a second of nothing");
}

#[test]
fn a_half_closed_client_that_never_reads_is_bounded() {
    let place = Place::new();
    let mut server = Server::start(
        place.socket(),
        &["--drain", "300ms", "--reply", &"y".repeat(5000)],
    );
    let mut client = server.client();
    client.send("question\n".repeat(500));
    client.finish();
    eventually("a first answer is on its way", || {
        (!server.process.stdout.so_far().is_empty()).then_some(())
    });
    let ending = server.stop();
    ending.was_cut();
    assert!(ending.took < Duration::from_secs(10), "{:?}", ending.took);
}
