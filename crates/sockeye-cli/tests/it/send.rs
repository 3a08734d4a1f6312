//! `sockeye send`: one request, the whole answer, however late it comes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::{
    Finished, Place, Process, REPLY, Server, run, run_with_input, serve_once, sockeye, stale_socket,
};

fn send(path: &Path, arguments: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("send").arg(path).args(arguments);
    command
}

/// Done, with the one remark that no answer came.
#[track_caller]
fn goes_unanswered(sent: &Finished) {
    assert_eq!(sent.code, Some(0), "{sent:#?}");
    sent.explains(&["closed without an answer", "--no-shutdown"]);
}

fn read_all(mut stream: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an orderly end");
    bytes
}

/// What a server reads up to the end of input when `command` talks to it.
fn what_arrives(command: impl FnOnce(&Path)) -> Vec<u8> {
    let place = Place::new();
    let server = serve_once(&place.socket(), |stream| read_all(&stream));
    command(&place.socket());
    server.join().expect("the server read to the end")
}

/// Bytes without a pattern that a lost or doubled block could hide in.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn words_are_joined_and_end_with_a_newline() {
    for (words, sent) in [
        (&["one"] as &[&str], "one\n"),
        (&["a", "b", "c  d"], "a b c  d\n"),
        (&["--", "-x", "--yes"], "-x --yes\n"),
        (&["h\u{e9}"], "h\u{e9}\n"),
    ] {
        let arrived = what_arrives(|path| {
            goes_unanswered(&run(&mut send(path, words)));
        });
        assert_eq!(String::from_utf8_lossy(&arrived), sent);
    }
}

#[test]
fn standard_input_is_sent_as_it_is() {
    for arguments in [&[] as &[&str], &["-"]] {
        let arrived = what_arrives(|path| {
            goes_unanswered(&run_with_input(&mut send(path, arguments), "no newline"));
        });
        assert_eq!(arrived, b"no newline");
    }
}

#[test]
fn empty_input_is_sent_as_nothing() {
    let arrived = what_arrives(|path| {
        run_with_input(&mut send(path, &[]), "").succeeds();
    });
    assert_eq!(arrived, b"");
}

#[test]
fn standard_input_is_left_alone_when_there_is_a_message() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    // The pipe stays open: whoever waits for its end never ends.
    let mut process = Process::spawn_piped(&mut send(&server.path, &["hello"]));
    let status = process.wait();
    assert_eq!(status.code(), Some(0));
    assert_eq!(process.stdout.all(), format!("{REPLY}\n").into_bytes());
}

#[test]
fn the_answer_is_printed_as_it_came() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        read_all(&stream);
        stream
            .write_all(b"no newline, \xff and \0")
            .expect("written");
    });
    let sent = run(&mut send(&place.socket(), &["hi"]));
    sent.succeeds();
    assert_eq!(sent.stdout, b"no newline, \xff and \0");
    server.join().expect("served");
}

#[test]
fn a_slow_answer_is_waited_for() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        read_all(&stream);
        // Slowness is what is tested: socat gives up after half a second.
        for part in ["slow ", "answer\n"] {
            thread::sleep(Duration::from_millis(800));
            stream.write_all(part.as_bytes()).expect("still read");
        }
    });
    let sent = run(&mut send(&place.socket(), &["hi"]));
    sent.succeeds();
    assert_eq!(sent.text(), "slow answer\n");
    server.join().expect("served");
}

#[test]
fn a_timeout_ends_the_wait_and_is_exit_6() {
    let place = Place::new();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = serve_once(&place.socket(), move |mut stream| {
        read_all(&stream);
        stream.write_all(b"half an ans").expect("written");
        let _ = wait.recv();
    });
    let sent = run(&mut send(&place.socket(), &["--timeout", "300ms", "hi"]));
    assert_eq!(sent.code, Some(6), "{sent:#?}");
    sent.explains(&[place.socket().to_str().expect("plain")]);
    assert_eq!(sent.text(), "half an ans", "what came is printed");
    assert!(sent.took >= Duration::from_millis(250), "{:?}", sent.took);
    drop(done);
    server.join().expect("served");
}

#[test]
fn an_answer_in_time_is_not_touched_by_the_timeout() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let sent = run(&mut send(&server.path, &["-t", "20s", "-w", "20s", "hi"]));
    sent.succeeds();
    assert_eq!(sent.text(), format!("{REPLY}\n"));
}

#[test]
fn ten_megabytes_go_there_and_back_again() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let input = noise(10_000_000);
    let sent = run_with_input(&mut send(&server.path, &[]), input.clone());
    sent.succeeds();
    assert_eq!(sent.stdout.len(), input.len());
    assert!(sent.stdout == input, "every byte as it was");
    server.stop().is_clean();
}

#[test]
fn no_shutdown_keeps_the_sending_side_open() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let mut line = [0; 3];
        stream.read_exact(&mut line).expect("the message");
        stream.write_all(b"answer\n").expect("written");
        // Closing only our own sending side lets the client end; until then nothing may come.
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("not zero");
        let early = stream.read_exact(&mut [0; 1]).map_err(|error| error.kind());
        stream.shutdown(Shutdown::Both).expect("closed");
        early
    });
    let sent = run(&mut send(&place.socket(), &["--no-shutdown", "hi"]));
    sent.succeeds();
    assert_eq!(sent.text(), "answer\n");
    let early = server.join().expect("served");
    assert_eq!(
        early,
        Err(std::io::ErrorKind::WouldBlock),
        "no end of input"
    );
}

#[test]
fn a_server_without_an_answer_is_remarked_and_half_closing_is_for_those_who_do() {
    for (options, takes_end) in [
        (&["hi"] as &[&str], true),
        (&["--no-shutdown", "hi"], false),
    ] {
        let place = Place::new();
        let server = serve_once(&place.socket(), move |mut stream| {
            if takes_end {
                drop(read_all(&stream));
            } else {
                stream.read_exact(&mut [0; 3]).expect("the message");
            }
        });
        let sent = run(&mut send(&place.socket(), options));
        if takes_end {
            goes_unanswered(&sent);
        } else {
            assert_eq!(sent.code, Some(0), "{sent:#?}");
            sent.explains(&["closed without an answer"]);
            assert!(!sent.stderr.contains("half-close"), "{sent:#?}");
        }
        server.join().expect("served");
    }
}

#[test]
fn a_frame_is_sent_and_payloads_are_printed() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "length"]);
    let sent = run(&mut send(
        &server.path,
        &["--framing", "length", "two", "words"],
    ));
    sent.succeeds();
    assert_eq!(sent.text().trim_end_matches('\n'), REPLY);
    let lines = server.process.stdout.first_lines(1);
    assert!(lines[0].ends_with(": two words"), "{lines:?}");

    let place = Place::new();
    let foreign = serve_once(&place.socket(), |mut stream| {
        let got = read_all(&stream);
        stream
            .write_all(b"\0\0\0\x03one\0\0\0\x05two\n3")
            .expect("written");
        got
    });
    let sent = run(&mut send(&place.socket(), &["--framing", "length", "hi"]));
    sent.succeeds();
    assert_eq!(sent.text().replace('\n', ""), "onetwo3");
    let got = foreign.join().expect("served");
    assert_eq!(got, b"\0\0\0\x02hi", "a frame without a newline");
}

#[test]
fn wait_waits_for_the_server() {
    let place = Place::new();
    let mut client = Process::spawn(&mut send(&place.socket(), &["--wait", "20s", "early"]));
    assert!(
        !client.ends_within(Duration::from_millis(100)),
        "nobody is there yet: {}",
        client.stderr.so_far()
    );
    let _server = Server::start(place.socket(), &[]);
    let sent = client.finish();
    sent.succeeds();
    assert_eq!(sent.text(), format!("{REPLY}\n"));
}

#[test]
fn wait_waits_for_a_stale_path_to_come_alive() {
    let place = Place::new();
    stale_socket(&place.socket());
    let mut client = Process::spawn(&mut send(&place.socket(), &["--wait", "20s", "early"]));
    assert!(!client.ends_within(Duration::from_millis(100)));
    let _server = Server::start(place.socket(), &[]);
    let sent = client.finish();
    sent.succeeds();
    assert_eq!(sent.text(), format!("{REPLY}\n"));
}

#[test]
fn a_wait_that_is_over_is_exit_6() {
    let place = Place::new();
    let absent = place.socket();
    let stale = place.at("stale");
    stale_socket(&stale);
    for path in [absent, stale] {
        let sent = run(&mut send(&path, &["--wait", "200ms", "x"]));
        sent.fails(6, &[path.to_str().expect("plain")]);
        assert!(sent.took >= Duration::from_millis(150), "{:?}", sent.took);
    }
}

#[test]
fn an_answer_before_the_end_of_a_long_message_is_not_lost() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.read_exact(&mut [0; 10]).expect("the beginning");
        stream.write_all(b"too long\n").expect("written");
        // Dropped with bytes unread: the client's further writes fail.
    });
    let sent = run_with_input(&mut send(&place.socket(), &[]), noise(10_000_000));
    assert_eq!(sent.text(), "too long\n", "{}", sent.stderr);
    assert_eq!(sent.code, Some(1), "the peer broke off: {}", sent.stderr);
    sent.explains(&[]);
    server.join().expect("served");
}

#[test]
fn a_peer_that_breaks_off_is_exit_1() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        stream.read_exact(&mut [0; 1]).expect("the beginning");
        // Dropped with the rest unread.
    });
    let sent = run_with_input(&mut send(&place.socket(), &[]), noise(4_000_000));
    sent.fails(1, &[place.socket().to_str().expect("plain")]);
    server.join().expect("served");
}

#[test]
fn a_message_that_nobody_took_is_exit_1() {
    let place = Place::new();
    let server = serve_once(&place.socket(), drop);
    let sent = run(&mut send(&place.socket(), &["hello"]));
    sent.fails(1, &[place.socket().to_str().expect("plain")]);
    server.join().expect("served");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--echo"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut direct = sockeye();
    direct.arg("send").arg(&server.path).arg("hello");
    let mut child = direct
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut stderr)
        .expect("text");
    child.wait().expect("our own child");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_symlink_to_a_live_socket_is_followed() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let link = place.at("link");
    std::os::unix::fs::symlink(&server.path, &link).expect("a fresh path");
    let sent = run(&mut send(&link, &["hi"]));
    sent.succeeds();
    assert_eq!(sent.text(), format!("{REPLY}\n"));
}
