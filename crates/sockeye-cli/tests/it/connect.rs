//! `sockeye connect`: standard input and output joined to a socket, each direction by itself.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use crate::support::{Place, Process, REPLY, Server, run, run_with_input, serve_once, sockeye};

fn connect(place: &Place) -> Command {
    let mut command = sockeye();
    command.arg("connect").arg(place.socket());
    command
}

#[test]
fn both_directions_are_copied_as_they_come() {
    let place = Place::new();
    let _server = Server::start(place.socket(), &["--reply", "ok"]);
    let mut process = Process::spawn_piped(&mut connect(&place));
    for count in 1..=3 {
        let stdin = process.stdin.as_mut().expect("piped");
        stdin.write_all(b"ping\n").expect("read");
        stdin.flush().expect("read");
        process.stdout.first_lines(count);
    }
    let finished = process.finish();
    finished.succeeds();
    assert_eq!(finished.text(), "ok\nok\nok\n");
}

#[test]
fn the_end_of_input_is_passed_on_and_the_answer_still_comes() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let mut got = String::new();
        stream.read_to_string(&mut got).expect("an orderly end");
        stream.write_all(b"late answer").expect("still read");
        got
    });
    let finished = run_with_input(&mut connect(&place), "the whole input");
    finished.succeeds();
    assert_eq!(finished.text(), "late answer");
    assert_eq!(server.join().expect("served"), "the whole input");
}

#[test]
fn a_peer_that_half_closes_first_still_reads() {
    let place = Place::new();
    let (closed, when_closed) = std::sync::mpsc::channel();
    let server = serve_once(&place.socket(), move |mut stream| {
        stream.write_all(b"bye").expect("written");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        closed.send(()).expect("the test waits");
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("an orderly end");
        got
    });
    let mut process = Process::spawn_piped(&mut connect(&place));
    when_closed.recv().expect("the server half-closed");
    assert_eq!(process.stdout.first_bytes(3), b"bye");
    let mut stdin = process.stdin.take().expect("piped");
    // More than all buffers on the way, so that it must be read there.
    let chunk = vec![b'x'; 1 << 16];
    for _ in 0..32 {
        stdin.write_all(&chunk).expect("still read");
    }
    drop(stdin);
    let finished = process.finish();
    finished.succeeds();
    assert_eq!(finished.stdout, b"bye");
    assert_eq!(server.join().expect("served").len(), 32 << 16);
}

#[test]
fn a_peer_that_closes_ends_it_while_input_stays_open() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.write_all(b"bye\n").expect("written");
    });
    let mut process = Process::spawn_piped(&mut connect(&place));
    // `wait`, not `finish`, which would close the input.
    let status = process.wait();
    assert_eq!(status.code(), Some(0), "{}", process.stderr.so_far());
    assert_eq!(process.stdout.all(), b"bye\n");
    server.join().expect("served");
}

#[test]
fn a_peer_that_closes_later_ends_it_while_input_stays_open() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    let mut process = Process::spawn_piped(&mut connect(&place));
    let stdin = process.stdin.as_mut().expect("piped");
    stdin.write_all(b"hello\n").expect("read");
    process.stdout.first_lines(1);
    server.stop().is_clean();
    let status = process.wait();
    assert_eq!(status.code(), Some(0), "{}", process.stderr.so_far());
    assert_eq!(process.stdout.all(), format!("{REPLY}\n").into_bytes());
}

#[test]
fn megabytes_pass_in_both_directions_at_once() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let input: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let finished = run_with_input(&mut connect(&place), input.clone());
    finished.succeeds();
    assert!(finished.stdout == input, "every byte as it was");
    server.stop().is_clean();
}

#[test]
fn a_long_answer_comes_whole_after_an_early_end_of_input() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.read_to_end(&mut Vec::new()).expect("the end");
        stream.write_all(&vec![b'y'; 4_000_000]).expect("all read");
    });
    let finished = run(&mut connect(&place));
    finished.succeeds();
    assert_eq!(finished.stdout.len(), 4_000_000);
    server.join().expect("served");
}

#[test]
fn an_answer_that_never_comes_is_reported() {
    let place = Place::new();
    for (option, words) in [
        (&[][..], &["closed without an answer", "--no-shutdown"][..]),
        (&["--no-shutdown"], &["closed without an answer"]),
    ] {
        let server = serve_once(&place.socket(), |mut stream| {
            stream.read_exact(&mut [0; 3]).expect("the input");
        });
        let said = run_with_input(connect(&place).args(option), "hi\n");
        assert_eq!(said.code, Some(0), "{said:#?}");
        said.explains(words);
        server.join().expect("served");
        std::fs::remove_file(place.socket()).expect("bound");
    }
}
