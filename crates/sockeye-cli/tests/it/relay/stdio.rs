//! `-`: standard input and output as one side.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use rustix::process::Signal;

use super::relay;
use crate::support::{
    Client, Place, Process, Server, run, run_with_input, serve_once, stale_socket,
};

const REFUSED: &str = "file descriptors are refused: whoever passes one gets EPERM\n";

#[test]
fn standard_input_goes_to_the_target_and_its_answer_to_standard_output() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let ended = run_with_input(relay(&["-"]).arg(place.socket()), input.clone());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, REFUSED);
    assert!(ended.stdout == input, "{} bytes", ended.stdout.len());
    server.stop().is_clean();
}

#[test]
fn an_answer_after_the_end_of_the_input_arrives() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let mut question = String::new();
        stream.read_to_string(&mut question).expect("EOF");
        stream.write_all(b"late").expect("it is read");
        question
    });
    let ended = run_with_input(relay(&["-"]).arg(place.socket()), "question");
    assert_eq!((ended.code, ended.text().as_str()), (Some(0), "late"));
    assert_eq!(server.join().expect("served"), "question");
}

#[test]
fn the_half_close_of_the_target_is_eof_on_standard_output() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.write_all(b"that is all").expect("it is read");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        let mut input = String::new();
        stream.read_to_string(&mut input).expect("EOF");
        input
    });
    let mut process = Process::spawn_piped(relay(&["-"]).arg(place.socket()));
    assert_eq!(process.stdout.all(), b"that is all");
    let stdin = process.stdin.as_mut().expect("piped");
    stdin.write_all(b"still sending").expect("it is read");
    assert_eq!(process.finish().code, Some(0));
    assert_eq!(server.join().expect("served"), "still sending");
}

#[test]
fn the_relay_ends_when_the_target_closes_though_input_could_come() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.write_all(b"bye\n").expect("it is read");
    });
    let mut process = Process::spawn_piped(relay(&["-"]).arg(place.socket()));
    let stdin = process.stdin.take();
    assert_eq!(process.stdout.all(), b"bye\n");
    assert_eq!(process.wait().code(), Some(0));
    drop(stdin);
    server.join().expect("served");
}

#[test]
fn the_exit_code_is_that_of_send_where_no_target_is_reached() {
    let place = Place::new();
    stale_socket(&place.at("dead"));
    std::fs::write(place.at("file"), "").expect("writable");
    for name in ["absent", "dead", "file"] {
        let mut send = crate::support::sockeye();
        let send = run(send.arg("send").arg(place.at(name)).arg("x"));
        let relayed = run(relay(&["-"]).arg(place.at(name)));
        assert_eq!(relayed.code, send.code, "{name}: {relayed:#?}");
        let error = relayed
            .stderr
            .strip_prefix(REFUSED)
            .expect("it comes first");
        assert_eq!(error, send.stderr, "{name}");
    }
}

#[test]
fn a_reader_that_is_gone_ends_the_relay_as_it_ends_others() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let chunk = [0; 65536];
        while stream.write_all(&chunk).is_ok() {}
    });
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        r#""$0" relay - "$1" | head -c 10 | wc -c; echo "${PIPESTATUS[0]}""#,
        env!("CARGO_BIN_EXE_sockeye"),
    ]);
    let ended = run(shell.arg(place.socket()));
    assert_eq!(ended.text(), "10\n141\n", "{ended:#?}");
    server.join().expect("it has seen EPIPE");
}

/// A write would find that out, but nothing comes any more.
#[test]
fn a_reader_that_is_gone_is_noticed_while_the_target_is_silent() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.write_all(b"one line\n").expect("it is read");
        // Its end is what the relay does on its own.
        stream.read_to_end(&mut Vec::new())
    });
    let fifo = place.at("input");
    run(Command::new("mkfifo").arg(&fifo)).succeeds();
    let input = File::options().read(true).write(true).open(&fifo);
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        r#""$0" relay - "$1" < "$2" | head -n 1; echo "${PIPESTATUS[0]}""#,
        env!("CARGO_BIN_EXE_sockeye"),
    ]);
    let ended = run(shell.arg(place.socket()).arg(&fifo));
    assert_eq!(ended.text(), "one line\n141\n", "{ended:#?}");
    drop(input);
    let _ = server.join().expect("served");
}

#[test]
fn standard_output_may_be_the_target() {
    let place = Place::new();
    let front = place.at("front");
    let mut process = Process::spawn_piped(relay(&[]).arg(&front).arg("-"));
    process
        .stderr
        .line("the greeting", |line| line.contains("listening on "));
    let mut client = Client::connect(&front);
    client.send("to the target\n");
    assert_eq!(process.stdout.first_lines(1), ["to the target"]);
    let stdin = process.stdin.as_mut().expect("piped");
    stdin.write_all(b"to the client\n").expect("it is read");
    assert_eq!(client.line(), "to the client");
    client.finish();
    let ended = process.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(
        ended.stderr.contains("served 1") || ended.stderr.contains("drained 1"),
        "{ended:#?}"
    );
}

/// As `serve -- sockeye relay - B` is.
#[test]
fn a_socket_as_standard_input_and_output_passes_file_descriptors() {
    let place = Place::new();
    let mut target = Server::start(place.socket(), &["--fds"]);
    let front = place.at("front");
    let mut command = Server::command(&["--fds"]);
    command
        .arg(&front)
        .arg("--")
        .arg(env!("CARGO_BIN_EXE_sockeye"));
    command.args(["relay", "-"]).arg(place.socket());
    let mut server = Server::started_by(&mut command, &front);
    let mut send = crate::support::sockeye();
    let answer = run(send
        .args(["send", "--fd", "/etc/hosts"])
        .arg(&front)
        .arg("here"));
    answer.succeeds();
    target
        .process
        .stdout
        .line("the fd", |line| line.contains("/etc/hosts"));
    server.stop().is_clean();
    target.stop().is_clean();
}

#[test]
fn a_signal_lets_the_connection_go_on_and_a_second_one_aborts() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let mut process = Process::spawn_piped(relay(&["--drain", "60s", "-"]).arg(place.socket()));
    let stdin = process.stdin.as_mut().expect("piped");
    stdin.write_all(b"one\n").expect("it is read");
    process.stdout.first_lines(1);
    process.signal(Signal::TERM);
    process
        .stderr
        .line("the drain", |line| line.contains("stopping on SIGTERM"));
    let stdin = process.stdin.as_mut().expect("piped");
    stdin.write_all(b"two\n").expect("it is read");
    process.stdout.first_lines(2);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(7));
    server.stop();
}
