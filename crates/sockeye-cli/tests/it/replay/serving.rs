//! `--serve`: which connection a client gets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockeye::Kind;

use super::recorder::RecordingRelay;
use super::{answer_lines, read_all, record_lines, serve_each, stand_in};
use crate::support::{Client, PATIENCE, Place};

/// Each answer has its number, so that the same requests have different answers.
fn numbered(place: &Place) {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    answer_lines(&place.socket(), move |line| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("{number}: {line}\n")
    });
}

fn ask(path: &std::path::Path, line: &str) -> String {
    let mut client = Client::connect(path);
    client.send(format!("{line}\n"));
    let answer = client.line();
    client.finish();
    assert_eq!(client.rest(), b"");
    answer
}

#[test]
fn the_first_that_matches_and_was_not_played_yet_answers() {
    let place = Place::new();
    numbered(&place);
    let file = record_lines(&place, &[&["a"], &["b"], &["a"], &["a"]]);
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&[], &file, &path);
    assert_eq!(ask(&path, "a"), "0: a");
    assert_eq!(ask(&path, "a"), "2: a");
    assert_eq!(ask(&path, "b"), "1: b");
    assert_eq!(ask(&path, "a"), "3: a");
    // All were played: the first that matches.
    assert_eq!(ask(&path, "a"), "0: a");
    assert_eq!(ask(&path, "b"), "1: b");
    server.stop().is_clean();
}

#[test]
fn clients_at_the_same_time_get_connections_of_their_own() {
    let place = Place::new();
    numbered(&place);
    let file = record_lines(&place, &[&["a", "x"], &["a", "y"], &["a", "z"]]);
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&[], &file, &path);
    let mut clients = [(); 3].map(|()| Client::connect(&path));
    let mut answers: Vec<String> = Vec::new();
    for client in &mut clients {
        client.send("a\n");
        answers.push(client.line());
    }
    assert_eq!(answers, ["0: a", "2: a", "4: a"]);
    // Each goes on as another one does than it has got: that one's answers follow.
    for (client, (line, answer)) in
        clients
            .iter_mut()
            .zip([("z", "5: z"), ("x", "1: x"), ("y", "3: y")])
    {
        client.send(format!("{line}\n"));
        assert_eq!(client.line(), answer);
        client.finish();
        client.rest();
    }
    server.stop().is_clean();
}

#[test]
fn a_server_that_speaks_first_does_so() {
    let place = Place::new();
    serve_each(&place.socket(), |mut stream| {
        stream.write_all(b"220 ready\n").unwrap();
        let mut request = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut request) {
            let name = String::from_utf8_lossy(&request[..count]).trim().to_owned();
            stream
                .write_all(format!("250 {name}\n").as_bytes())
                .unwrap();
        }
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    for name in ["one", "two"] {
        let mut client = Client::connect(&relay.front);
        assert_eq!(client.line(), "220 ready");
        client.send(format!("{name}\n"));
        client.line();
        client.finish();
        client.rest();
    }
    let file = relay.finish();
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&[], &file, &path);
    for name in ["two", "one"] {
        let mut client = Client::connect(&path);
        assert_eq!(client.line(), "220 ready");
        client.send(format!("{name}\n"));
        assert_eq!(client.line(), format!("250 {name}"));
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    server.stop().is_clean();
}

#[test]
fn a_request_may_come_in_pieces() {
    let place = Place::new();
    serve_each(&place.socket(), |mut stream| {
        let mut request = [0; 100];
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b".") {
            let count = stream.read(&mut request).unwrap();
            all.extend_from_slice(&request[..count]);
        }
        stream.write_all(&all).unwrap();
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    for request in ["ping.", "ping pong.", "pizza."] {
        let mut client = Client::connect(&relay.front);
        client.send(request);
        assert_eq!(client.rest(), request.as_bytes());
    }
    let file = relay.finish();
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&[], &file, &path);
    for pieces in [&["pi", "ng pong."][..], &["p", "i", "zza."], &["ping", "."]] {
        let mut client = Client::connect(&path);
        for piece in pieces {
            client.send(piece);
            // Longer than it waits before it looks for a connection that would answer by now.
            if !piece.ends_with('.') {
                client.hears_nothing_for(Duration::from_millis(70));
            }
        }
        assert_eq!(client.rest(), pieces.concat().as_bytes());
    }
    server.stop().is_clean();
}

#[test]
fn a_client_that_pauses_gets_the_answer_to_what_it_has_sent() {
    let place = Place::new();
    serve_each(&place.socket(), |mut stream| {
        let mut request = [0; 100];
        let count = stream.read(&mut request).unwrap();
        stream.write_all(&request[..count]).unwrap();
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    for request in ["ping pong", "ping"] {
        let mut client = Client::connect(&relay.front);
        client.send(request);
        assert_eq!(client.rest(), request.as_bytes());
    }
    let file = relay.finish();
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&[], &file, &path);
    for request in ["ping", "ping pong"] {
        let mut client = Client::connect(&path);
        client.send(request);
        assert_eq!(client.rest(), request.as_bytes());
    }
    server.stop().is_clean();
}

#[test]
fn answers_keep_their_times_where_that_is_asked_for() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| {
        std::thread::sleep(Duration::from_millis(400));
        format!("{line}\n")
    });
    let file = record_lines(&place, &[&["a", "b"]]);
    for (speed, least) in [("1", 800), ("4", 200)] {
        let path = place.at("stand-in.sock");
        let mut server = stand_in(&["--speed", speed], &file, &path);
        let began = std::time::Instant::now();
        let mut client = Client::connect(&path);
        for line in ["a", "b"] {
            client.send(format!("{line}\n"));
            assert_eq!(client.line(), line);
        }
        assert!(began.elapsed() >= Duration::from_millis(least));
        client.finish();
        client.rest();
        server.stop().is_clean();
    }
}

#[test]
fn an_answer_at_eof_waits_for_it() {
    let place = Place::new();
    serve_each(&place.socket(), |mut stream: UnixStream| {
        let request = read_all(&stream);
        stream
            .write_all(&[&request[..], b" and EOF"].concat())
            .unwrap();
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    for request in ["abc", "abcdef"] {
        let mut client = Client::connect(&relay.front);
        client.send(request);
        client.finish();
        client.rest();
    }
    let file = relay.finish();
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&["--mode", "0666"], &file, &path);
    for request in ["abcdef", "abc"] {
        let mut client = Client::connect(&path);
        client.send(request);
        client.hears_nothing_for(Duration::from_millis(100));
        client.finish();
        assert_eq!(client.rest(), format!("{request} and EOF").as_bytes());
    }
    server.stop().is_clean();
}

#[test]
fn a_drain_ends_idle_clients_at_once() {
    let place = Place::new();
    numbered(&place);
    let file = record_lines(&place, &[&["a", "b"]]);
    let path = place.at("stand-in.sock");
    let mut server = stand_in(&["--drain", "1h"], &file, &path);
    let mut client = Client::connect(&path);
    client.send("a\n");
    assert_eq!(client.line(), "0: a");
    let _silent = Client::connect(&path);
    server.terminate();
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}
