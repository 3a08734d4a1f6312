//! What a tap shows of the traffic.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Signal, getuid};
use serde_json::Value;

use super::{Echo, ask, started, tap};
use crate::support::{Place, Process, bound, nameless, optional_peer, run, sockeye, terminal};

/// Ends the tap, and returns what it has shown.
#[track_caller]
fn shown(mut tap: Process) -> String {
    tap.signal(Signal::TERM);
    let finished = tap.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.text()
}

/// Of each line what begins with the number of the connection, without the times in it.
fn without_times(text: &str) -> Vec<String> {
    let words = |line: &str| {
        let line = line.split_once(' ').expect("a time").1;
        let is_time = |word: &&str| {
            let time = word.trim_start_matches('+').trim_end_matches(':');
            let number = time.trim_end_matches(['u', 'm', 's']);
            number != time && number.parse::<f64>().is_ok()
        };
        let words = line
            .split(' ')
            .map(|word| if is_time(&word) { "TIME" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect()
}

/// `sockeye send` as a client of its own.
#[track_caller]
fn send(options: &[&str], address: &str, message: &str) {
    let mut command = sockeye();
    command.arg("send").args(options).args([address, message]);
    let finished = run(&mut command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn text_tells_who_when_how_much_and_what() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let tap = started(&["--text", "-s", "8"], &path);
    assert_eq!(ask(&path, b"0123\x1b[31m789").unwrap(), b"0123\x1b[31m789");
    tap.stdout
        .line("the end", |line| line.contains("closed after"));
    let text = shown(tap);
    let mut lines = without_times(&text);
    // A half-close may come before the answer.
    lines[2..4].sort_unstable();
    let who = format!("#1 connected: pid {} (", std::process::id());
    assert!(lines[0].starts_with(&who), "{text}");
    assert!(
        lines[0].contains(&format!(") uid {}", getuid().as_raw())),
        "{text}"
    );
    assert_eq!(
        lines[1..],
        [
            "#1 > 12 bytes TIME 0123\\x1b[31... 4 bytes more",
            "#1 < 12 bytes TIME 0123\\x1b[31... 4 bytes more",
            "#1 > EOF",
            "#1 < EOF, closed after TIME 12 bytes to server, 12 to client",
        ],
        "{text}"
    );
}

#[test]
fn hex_is_what_xxd_prints() {
    let Some(xxd) = optional_peer("xxd") else {
        return;
    };
    let echo = Echo::start();
    let path = echo.place.socket();
    let message: Vec<u8> = (0..=255).chain(0..=100).collect();
    let tap = started(&["--hex", "-s", "1K"], &path);
    ask(&path, &message).unwrap();
    tap.stdout
        .line("the end", |line| line.contains("closed after"));
    let text = shown(tap);
    let file = echo.place.at("message");
    std::fs::write(&file, &message).unwrap();
    let expected = run(Command::new(xxd).arg(&file)).text();
    assert_eq!(text.matches(&expected).count(), 2, "{text}");
}

#[test]
fn json_has_every_event_and_the_client() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let tap = started(&["--json"], &path);
    let message = "x".repeat(1000);
    send(&["--fd", "/dev/null"], &path.to_string_lossy(), &message);
    ask(&path, b"\xff").unwrap();
    tap.stdout.line("the end", |line| {
        line.contains("\"end\"") && line.contains("\"connection\":2") && line.contains("to-client")
    });
    let events: Vec<Value> = shown(tap)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    let one = ["begin", "end", "end", "message", "message"];
    for number in 1..=2 {
        let of_one = events.iter().zip(&kinds);
        let of_one = of_one.filter(|(event, _)| event["connection"] == number);
        let mut of_one: Vec<_> = of_one.map(|(_, kind)| *kind).collect();
        // A half-close may come before the answer.
        of_one.sort_unstable();
        assert_eq!(of_one, one);
    }
    let asked = events
        .iter()
        .find(|event| event["direction"] == "to-server")
        .unwrap();
    assert_eq!(asked["text"], format!("{message}\n"));
    assert_eq!(
        (&asked["size"], &asked["comm"]),
        (&1001.into(), &"sockeye".into())
    );
    assert!(asked["pid"].as_i64().unwrap() > 0 && asked["uid"] == getuid().as_raw());
    assert_eq!(asked["fds"].as_array().unwrap().len(), 1);
    assert!(
        asked["fds"][0].as_str().unwrap().starts_with("/dev/null ("),
        "{asked}"
    );
    let time = asked["time"].as_str().unwrap();
    assert!(time.len() == "2026-12-31T23:59:59.123456789Z".len() && time.ends_with('Z'));
    let data = events
        .iter()
        .find(|event| event.get("data").is_some())
        .unwrap();
    assert_eq!((&data["data"], &data["size"]), (&"/w==".into(), &1.into()));
}

#[test]
fn a_filter_selects_clients() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let address = path.to_string_lossy().into_owned();
    let (own_pid, own_uid) = (std::process::id(), getuid().as_raw());
    let both = format!("comm=nobody,comm=sockeye,uid={own_uid}");
    let (own, other) = (format!("pid={own_pid}"), format!("uid={}", own_uid + 1));
    for (filter, is_sent, is_asked) in [
        (both.as_str(), true, false),
        (&own, false, true),
        (&other, false, false),
    ] {
        let tap = started(&["--filter", filter], &path);
        ask(&path, b"asked").unwrap();
        send(&[], &address, "sent");
        let text = shown(tap);
        assert_eq!(text.contains("asked"), is_asked, "{filter}: {text}");
        assert_eq!(text.contains("sent"), is_sent, "{filter}: {text}");
        // The number is that of the connection, whatever is shown.
        assert!(!is_sent || text.contains("#2"), "{text}");
    }
}

#[test]
fn a_bad_filter_is_wrong_usage_and_says_what_is_possible() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for (filter, word) in [
        ("port=80", "\"port\""),
        ("pid=self", "pid=self"),
        ("uid=no-such-user-here", "no-such-user-here"),
        ("comm", "\"comm\""),
    ] {
        let finished = run(&mut tap(&["--filter", filter], &path));
        finished.fails(2, &["--filter", word]);
        assert!(echo.is_restored());
    }
}

#[test]
fn a_terminal_has_colors_unless_it_is_not_to() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let on_terminal = |options: &[&str], variable: (&str, &str)| {
        let (mut master, slave) = terminal(80, 24);
        let mut command = tap(options, &path);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command
            .env(variable.0, variable.1)
            .stdout(slave)
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stderr = child.stderr.take().expect("piped");
        // So that the end of the tap is that of the terminal.
        drop(command);
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("tapping") {
            let mut byte = [0];
            stderr.read_exact(&mut byte).expect("it says that it taps");
            said.extend(byte);
        }
        ask(&path, b"hello").unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        let mut text = Vec::new();
        // A terminal that nobody has open any more ends with an error (EIO).
        let _ = master.read_to_end(&mut text);
        String::from_utf8(text).expect("text")
    };
    let unrelated = ("SOME", "thing");
    let colored = on_terminal(&[], unrelated);
    assert!(colored.contains("\x1b[36m>\x1b[0m 5 bytes"), "{colored:?}");
    for (options, variable) in [
        (&["--color", "never"][..], unrelated),
        (&[], ("NO_COLOR", "1")),
        (&[], ("TERM", "dumb")),
        (&["--json"], unrelated),
    ] {
        let plain = on_terminal(options, variable);
        assert!(
            plain.contains("hello") && !plain.contains('\x1b'),
            "{plain:?}"
        );
    }
    let piped = started(&["--color", "always"], &path);
    ask(&path, b"hello").unwrap();
    assert!(shown(piped).contains("\x1b["));
}

#[test]
fn a_summary_has_a_line_for_each_connection_and_a_table() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let tap = started(&["--summary"], &path);
    for _ in 0..3 {
        ask(&path, b"hello").unwrap();
    }
    let text = shown(tap);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][0], "CONN");
    for (number, line) in lines[1..4].iter().enumerate() {
        assert_eq!(line[0], format!("#{}", number + 1));
        assert_eq!(
            (line[1], line[4], line[5]),
            (&*std::process::id().to_string(), "5", "5")
        );
    }
    assert_eq!(lines[5], ["3", "connections"]);
    assert_eq!(lines[6], ["COUNT", "P50", "P99", "MAX"]);
    assert_eq!(lines[7][..3], ["first", "answer", "3"]);
    assert_eq!(lines[10][..], ["bytes", "to", "client", "3", "5", "5", "5"]);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

/// Reads until what has come ends with one of `ends`.
#[track_caller]
fn read_to(stream: &mut UnixStream, ends: &[&[u8]]) {
    let (mut came, mut buffer) = (Vec::new(), [0; 4096]);
    while !ends.iter().any(|end| came.ends_with(end)) {
        let count = stream.read(&mut buffer).expect("more to come");
        assert_ne!(count, 0, "EOF after {:?}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn http_pairs_responses_with_requests() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("it listens");
        for response in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n404",
        ] {
            read_to(&mut client, &[b"\r\n\r\n"]);
            client.write_all(response.as_bytes()).expect("it reads");
        }
        listener
    });
    let tap = started(&["--http"], &place.socket());
    let mut client = UnixStream::connect(place.socket()).expect("the tap listens");
    for path in ["/a", "/b?c=d"] {
        write!(client, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        read_to(&mut client, &[b"0\r\n\r\n", b"404"]);
    }
    drop(client);
    tap.stdout
        .line("the last response", |line| line.contains("404"));
    let _listener = server.join().expect("no panic");
    let text = shown(tap);
    let lines = without_times(&text);
    assert_eq!(lines[1], "#1 > GET /a");
    assert!(
        lines[2].starts_with("#1 < 200 OK, 5 bytes in TIME"),
        "{text}"
    );
    assert!(lines[2].ends_with("GET /a"), "{text}");
    assert_eq!(lines[3], "#1 > GET /b?c=d");
    assert!(
        lines[4].starts_with("#1 < 404 Not Found, 3 bytes in TIME"),
        "{text}"
    );
    assert!(lines[4].ends_with("GET /b?c=d"), "{text}");
}

#[test]
fn a_recording_on_standard_output_leaves_standard_error_to_the_display() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut both = started(&["--record", "-"], &path);
    ask(&path, b"hello").unwrap();
    both.stderr
        .line("the end", |line| line.contains("closed after"));
    both.signal(Signal::TERM);
    let finished = both.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("#1 > 5 bytes"), "{finished:?}");
    // The type of a section header block (pcap-ng).
    assert_eq!(finished.stdout[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
}

#[test]
fn a_quiet_tap_only_records() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let directory = Place::new();
    let file = directory.at("a.pcapng");
    let mut quiet = started(&["--quiet", "--record", &file.to_string_lossy()], &path);
    ask(&path, b"hello").unwrap();
    quiet.signal(Signal::TERM);
    let finished = quiet.finish();
    assert_eq!((finished.code, finished.text().as_str()), (Some(0), ""));
    assert!(!finished.stderr.contains("#1"), "{finished:?}");
    let recorded = std::fs::read(&file).unwrap();
    assert!(recorded.windows(5).any(|bytes| bytes == b"hello"));
}

#[test]
fn datagrams_are_shown_by_sender() {
    let place = Place::new();
    let server = bound(place.socket());
    let address = format!("dgram:{}", place.socket().display());
    let tap = started(&[], address.as_ref());
    let sender = nameless();
    for message in [&b"one"[..], b"", b"two"] {
        sender.send_to(message, place.socket()).unwrap();
        let mut buffer = [0; 16];
        let count = server.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], message);
    }
    tap.stdout.line("the last one", |line| line.contains("two"));
    let text = shown(tap);
    let lines = without_times(&text);
    let own = format!("#1 new sender: pid {}", std::process::id());
    assert!(lines[0].starts_with(&own), "{text}");
    assert_eq!(
        lines[1..4],
        [
            "#1 > 3 bytes TIME one",
            "#1 > 0 bytes TIME",
            "#1 > 3 bytes TIME two"
        ]
    );
}
