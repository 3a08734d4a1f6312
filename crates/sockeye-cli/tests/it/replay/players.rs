//! The clients' side: order, timing, ends.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use sockeye::Kind;

use super::{answer_lines, last_line, read_all, record_lines, replay, serve_each};
use crate::replay::recorder::RecordingRelay;
use crate::support::{Client, Place, Process, REPLY, Server, run, sockeye};

#[test]
fn a_request_waits_for_the_answer_before_it() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line} is answered\n"));
    let file = record_lines(&place, &[&["one", "two", "three"]]);
    let (tell, told) = mpsc::channel();
    serve_each(&place.socket(), move |mut stream| {
        for _ in 0..3 {
            let mut request = [0; 100];
            let count = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let answer = format!("{} is answered\n", request.trim_end());
            tell.send(request).unwrap();
            // In two parts: the first is not the recorded amount.
            let (first, rest) = answer.as_bytes().split_at(3);
            stream.write_all(first).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            assert!(stream.read(&mut [0; 1]).is_err(), "nothing comes too early");
            stream.set_read_timeout(None).unwrap();
            stream.write_all(rest).unwrap();
        }
    });
    let played = replay(&["--speed", "max", "--check"], &file, place.socket());
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert_eq!(
        last_line(&played),
        "replayed 1 connection: 14 bytes sent, 50 bytes received, 0 different"
    );
    let requests: Vec<String> = told.try_iter().collect();
    assert_eq!(requests, ["one\n", "two\n", "three\n"]);
}

#[test]
fn a_connection_begins_after_those_that_had_ended_before_it() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["a"], &["b"], &["c"], &["d"]]);
    let path = place.at("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let accept_one = || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 2];
            stream.read_exact(&mut request).unwrap();
            let mut state = [PollFd::new(&listener, PollFlags::IN)];
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            assert_eq!(poll(&mut state, Some(&wait)), Ok(0), "nobody else connects");
            stream.write_all(&request).unwrap();
            read_all(stream);
            request
        };
        [(); 4].map(|()| accept_one())
    });
    let played = replay(&["--speed", "max", "--check"], &file, &path);
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert_eq!(server.join().unwrap(), [*b"a\n", *b"b\n", *b"c\n", *b"d\n"]);
}

#[test]
fn the_recorded_times_are_kept_and_divided() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let mut client = Client::connect(&relay.front);
    client.send("one\n");
    client.line();
    std::thread::sleep(Duration::from_millis(600));
    client.send("two\n");
    client.line();
    client.finish();
    client.rest();
    let file = relay.finish();
    let took = |speed: &str| {
        let played = replay(&["--speed", speed], &file, place.socket());
        assert_eq!(played.code, Some(0), "{played:#?}");
        played.took
    };
    let at_least = |millis| Duration::from_millis(millis);
    assert!(took("1") >= at_least(600));
    assert!(took("0.5") >= at_least(1200));
    assert!(took("2") >= at_least(300));
}

#[test]
fn a_half_close_is_one_and_eof_is_awaited() {
    let place = Place::new();
    let answer_at_eof = |mut stream: UnixStream| {
        let request = read_all(&stream);
        stream.write_all(b"all of it: ").unwrap();
        stream.write_all(&request).unwrap();
    };
    serve_each(&place.socket(), answer_at_eof);
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let mut client = Client::connect(&relay.front);
    client.send("request");
    client.finish();
    assert_eq!(client.rest(), b"all of it: request");
    let file = relay.finish();
    let played = replay(&["--check"], &file, place.socket());
    assert_eq!(played.code, Some(0), "{played:#?}");
    // A server that sends the same and does not close.
    serve_each(&place.socket(), move |stream| {
        answer_at_eof(stream.try_clone().unwrap());
        std::mem::forget(stream);
    });
    let played = replay(&["--check", "--timeout", "200ms"], &file, place.socket());
    assert_eq!(played.code, Some(6), "{played:#?}");
    assert!(
        played.stderr.contains("the answer has no end for 200ms"),
        "{played:#?}"
    );
}

#[test]
fn much_goes_both_ways_at_once() {
    let place = Place::new();
    let echo = |stream: UnixStream| {
        let mut from = stream.try_clone().unwrap();
        let mut to = &stream;
        std::io::copy(&mut from, &mut to).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
    };
    serve_each(&place.socket(), echo);
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let client = Client::connect(&relay.front);
    let writer = client.stream().try_clone().unwrap();
    let sent: Vec<u8> = (0..8 << 20).map(|at: u32| (at / 7) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || {
        (&writer).write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_all(client.stream()) == expected);
    sender.join().unwrap();
    let file = relay.finish();
    for speed in ["1", "max"] {
        let played = replay(&["--check", "--speed", speed], &file, place.socket());
        assert_eq!(played.code, Some(0), "{played:#?}");
        assert_eq!(
            last_line(&played),
            "replayed 1 connection: 8388608 bytes sent, 8388608 bytes received, 0 different"
        );
    }
}

#[test]
fn a_server_that_closes_early_is_told_of() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one", "two"]]);
    serve_each(&place.socket(), |mut stream| {
        let _ = stream.read(&mut [0; 100]);
        stream.write_all(b"one\n").unwrap();
    });
    let played = replay(&["--speed", "max"], &file, place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    // A reset where it had not read the second request.
    let ends = ["closed", "reset"]
        .map(|how| format!("connection 0: the server has {how} the connection after 4 bytes"));
    let says = |end: &String| played.stderr.contains(end);
    assert!(ends.iter().any(says), "{played:#?}");
    assert!(last_line(&played).ends_with(", 1 failed"), "{played:#?}");
}

#[test]
fn a_server_that_is_not_there_ends_the_replay() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one"], &["two"]]);
    // One line: nothing was played that a report could be about.
    replay(&[], &file, place.at("nowhere.sock")).fails(3, &["nowhere.sock", "no such file"]);
}

#[test]
fn a_signal_ends_a_replay_with_its_report() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one"]]);
    let (tell, told) = mpsc::channel();
    serve_each(&place.socket(), move |stream| {
        tell.send(()).unwrap();
        read_all(stream);
    });
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
        let mut command = sockeye();
        command.args(["replay", "--timeout", "1h"]);
        let mut process = Process::spawn(command.arg(&file).arg(place.socket()));
        told.recv().unwrap();
        process.signal(signal);
        let ended = process.finish();
        assert_eq!(ended.code, None, "{ended:#?}");
        let end = format!("ended by {name}, 1 were open");
        assert!(last_line(&ended).ends_with(&end), "{ended:#?}");
    }
}

#[test]
fn one_connection_is_played_by_its_number() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["zero"], &["one"], &["two"]]);
    let (tell, told) = mpsc::channel();
    answer_lines(&place.at("other.sock"), move |line| {
        tell.send(line.to_owned()).unwrap();
        format!("{line}\n")
    });
    let played = replay(
        &["--connection", "2", "--connection", "0", "--speed", "max"],
        &file,
        place.at("other.sock"),
    );
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["zero", "two"]);
    let played = replay(&["--connection", "3"], &file, place.socket());
    played.fails(2, &["connection 3", "0 to 2"]);
}

#[test]
fn connections_that_passed_fds_are_left_out() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--fds"]);
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    for options in [&["--fd", "/dev/null"][..], &[]] {
        let mut command = sockeye();
        let sent = run(command
            .arg("send")
            .args(options)
            .arg(&relay.front)
            .arg("hello"));
        assert_eq!(sent.text(), format!("{REPLY}\n"), "{sent:#?}");
    }
    let file = relay.finish();
    let played = replay(&["--check"], &file, place.socket());
    assert_eq!(played.code, Some(7), "{played:#?}");
    assert!(
        last_line(&played).starts_with("replayed 1 connection: "),
        "{played:#?}"
    );
    let end = "0 different; left out: 1 (passed file descriptors)";
    assert!(last_line(&played).ends_with(end), "{played:#?}");
    drop(server);
}

#[test]
fn a_client_that_is_reset_closes_without_reading_on() {
    let place = Place::new();
    let (tell, told) = mpsc::channel();
    serve_each(&place.socket(), move |mut stream| {
        let mut request = [0; 100];
        let count = stream.read(&mut request).unwrap();
        // Until nobody takes it any more.
        while stream.write_all(&[b'x'; 1000]).is_ok() {}
        tell.send(request[..count].to_vec()).unwrap();
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let mut client = UnixStream::connect(&relay.front).unwrap();
    client.write_all(b"go").unwrap();
    // The rest of the first write is unread.
    client.read_exact(&mut [0; 1]).unwrap();
    drop(client);
    told.recv().unwrap();
    let file = relay.finish();
    for options in [&["--speed", "max"][..], &["--speed", "max", "--check"]] {
        let played = replay(options, &file, place.socket());
        assert_eq!(played.code, Some(0), "{played:#?}");
        assert_eq!(told.recv().unwrap(), b"go");
    }
}
