//! As a person sees it.

use std::collections::HashSet;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use super::{connected, ls};
use crate::support::{Place, Process, python, terminal};

/// What a terminal of this width is given by a command that succeeds.
pub(crate) fn on_terminal(command: &mut Command, width: u16) -> String {
    // Some do not know their lines; the width counts all the same.
    let (mut master, slave) = terminal(width, 0);
    let mut child = command.stdout(slave).spawn().expect("it starts");
    // So that the command's end is the terminal's.
    command.stdout(std::process::Stdio::null());
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        // A terminal that nobody has open any more ends with an error (EIO).
        let _ = master.read_to_end(&mut text);
        text
    });
    let status = child.wait().expect("our own child");
    let text = reader.join().expect("no panic");
    let text = String::from_utf8(text).expect("text");
    assert_eq!(status.code(), Some(0), "{text}");
    text.replace("\r\n", "\n")
}

#[test]
fn rows_fit_the_terminal() {
    let place = Place::new();
    let path = place.at("a rather long name of an application.sock");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    let _pair = connected(&listener);
    let _waiting = UnixStream::connect(&path).expect("the backlog has room");
    let pid = format!("{}/", std::process::id());
    for width in [20, 40, 80, 160] {
        for options in [&[][..], &["--connections"]] {
            let text = on_terminal(ls(options).arg(&path), width);
            assert!(text.lines().count() >= 3, "{text}");
            for line in text.lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {text}");
            }
        }
    }
    let text = on_terminal(&mut ls([&path]), 80);
    for column in ["KIND", " FD "] {
        assert!(!text.contains(column), "{text}");
    }
    for column in [
        "STATE",
        "ADDRESS",
        "RECV-Q",
        "SEND-Q",
        "PID/COMMAND",
        "PEER-USER",
    ] {
        assert!(text.contains(column), "{text}");
    }
    // Whole, whatever it takes; nobody has the one that waits.
    let process = std::fs::read_to_string("/proc/self/comm").expect("Linux");
    let process = format!("{pid}{}", process.trim_end());
    let (waiting, open): (Vec<&str>, Vec<&str>) = text
        .lines()
        .skip(1)
        .partition(|line| line.contains("pending"));
    assert_eq!((waiting.len(), open.len()), (1, 2), "{text}");
    assert!(open.iter().all(|line| line.contains(&process)), "{text}");
    assert!(
        text.lines().skip(1).all(|line| line.contains('…')),
        "{text}"
    );
    let text = on_terminal(&mut ls([&path]), 160);
    for column in ["RECV-Q", "SEND-Q", " USER", "PID/COMMAND"] {
        assert!(text.contains(column), "{text}");
    }
    assert!(text.contains(path.to_str().expect("plain")), "{text}");
}

#[test]
fn a_narrow_terminal_keeps_what_tells_most_and_tells_addresses_apart() {
    let place = Place::new();
    let paths = ["3f2a", "9b7c"].map(|id| {
        std::fs::create_dir_all(place.at(id).join("run")).expect("our own place");
        place.at(id).join("run/a-rather-long-name.sock")
    });
    let listeners = paths.each_ref().map(UnixListener::bind);
    assert!(listeners.iter().all(Result::is_ok), "fresh paths");
    for width in [60, 80] {
        let text = on_terminal(&mut ls(&paths), width);
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
        let (always, more) = header.split_at(5.min(header.len()));
        let first = ["STATE", "ADDRESS", "RECV-Q", "SEND-Q"];
        assert_eq!(always[..4], first, "{width}: {text}");
        assert!(
            header.iter().any(|title| title.starts_with("PID")),
            "{text}"
        );
        // All are streams, nobody is at another end, and descriptors tell least.
        let gone = ["KIND", "FD", "PEER", "PEER-USER"];
        assert!(!more.iter().any(|title| gone.contains(title)), "{text}");
        let shown: Vec<&str> = lines.filter_map(|l| l.split_whitespace().nth(1)).collect();
        assert_eq!(shown.len(), 2, "{text}");
        assert_ne!(shown[0], shown[1], "{width}: {text}");
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= width.into()),
            "{text}"
        );
    }
}

#[test]
fn a_kind_that_not_all_have_and_a_peer_are_shown() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let _pair = connected(&listener);
    let datagram = std::os::unix::net::UnixDatagram::bind(place.at("d")).expect("a fresh path");
    let text = on_terminal(&mut ls([place.socket(), place.at("d")]), 100);
    assert!(text.contains("KIND") && text.contains("datagram"), "{text}");
    assert!(text.contains("PEER-USER"), "{text}");
    // Where it has no place after all, the state shows what belongs to what.
    let text = on_terminal(&mut ls([place.socket(), place.at("d")]), 60);
    assert!(!text.contains("KIND"), "{text}");
    assert!(text.contains("\n  connected "), "{text}");
    drop(datagram);
}

/// The titles of a listing, and its rows.
fn split(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect());
    (lines.next().expect("a header"), lines.collect())
}

fn assert_fits(text: &str, width: u16) {
    let fits = |line: &str| line.chars().count() <= width.into();
    assert!(text.lines().all(fits), "{width}: {text}");
}

#[test]
fn many_long_names_that_differ_in_the_middle_leave_room_for_the_columns_that_are_needed() {
    let place = Place::new();
    let listeners: Vec<UnixListener> = (0..60)
        .map(|i| {
            // Several places where they differ, each with many before it that do not.
            let name = format!(
                "zz{:02b}xxxxxxxxxxxx/yyyyyyy{:02}xxxxxxxxxxxx",
                i / 16,
                i % 16
            );
            std::fs::create_dir_all(place.at(&name)).expect("our own place");
            UnixListener::bind(place.at(&name).join("aaaa.aaa")).expect("a fresh path")
        })
        .collect();
    let paths = listeners.iter().map(|listener| {
        let address = listener.local_addr().expect("it is bound");
        address.as_pathname().expect("to a path").to_owned()
    });
    let paths: Vec<_> = paths.collect();
    for width in [60, 80] {
        let text = on_terminal(&mut ls(&paths), width);
        assert_fits(&text, width);
        let (header, rows) = split(&text);
        let needed = ["STATE", "ADDRESS", "RECV-Q", "SEND-Q", "PID/COMMAND"];
        assert_eq!(header[..4], needed[..4], "{text}");
        assert!(header.contains(&needed[4]), "{text}");
        let shown: HashSet<&str> = rows.iter().map(|row| row[1]).collect();
        assert_eq!(shown.len(), listeners.len(), "{width}: {text}");
        assert!(rows.iter().all(|row| row.len() >= 5), "{text}");
    }
}

#[test]
fn a_kind_that_not_all_have_outlives_what_tells_less_and_then_stands_at_the_address() {
    let place = Place::new();
    let [one, two] = ["a-rather-long-name.d", "a-rather-long-name.s"].map(|name| place.at(name));
    let datagram = std::os::unix::net::UnixDatagram::bind(&one).expect("a fresh path");
    let listener = UnixListener::bind(&two).expect("a fresh path");
    let _pair = connected(&listener);
    let mut with_kind = 0;
    for width in 50..=160 {
        let text = on_terminal(&mut ls([&one, &two]), width);
        assert_fits(&text, width);
        let (header, _) = split(&text);
        if header.contains(&"KIND") {
            with_kind += 1;
            assert!(!text.contains("dgram:"), "{text}");
            continue;
        }
        for title in ["FD", "PEER-USER", "USER", "PEER"] {
            assert!(!header.contains(&title), "{width}: {text}");
        }
        let states = ["bound", "listening", "connected"];
        for line in text.lines().skip(1) {
            let is_datagram = line.contains(states[0]);
            assert_eq!(line.contains(" dgram:"), is_datagram, "{width}: {text}");
        }
    }
    assert!((1..100).contains(&with_kind), "{with_kind}");
    drop(datagram);
}

#[test]
fn columns_that_were_asked_for_are_shown_whatever_the_width() {
    let place = Place::new();
    let path = place.at("a rather long name of an application.sock");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    let _pair = connected(&listener);
    let columns = "inode,peer-inode,netns,fd,kind,state,address,recv-q,send-q,peer-user,file";
    let count = columns.split(',').count();
    for width in [20, 40, 60, 80] {
        let text = on_terminal(ls(["-o", columns]).arg(&path), width);
        let (header, _) = split(&text);
        assert_eq!(header.len(), count, "{width}: {text}");
        assert!(text.lines().skip(1).all(|line| line.ends_with("present")));
    }
}

#[test]
fn a_state_is_never_cut() {
    let place = Place::new();
    let path = place.at("a-rather-long-name-of-an-application.sock");
    let listener = UnixListener::bind(&path).expect("a fresh path");
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("it is open");
    let text = on_terminal(&mut ls([&path]), 200);
    assert!(text.contains("listening (shut down)"), "{text}");
    for width in [60, 80] {
        let text = on_terminal(&mut ls([&path]), width);
        assert!(text.contains("\nshut down  "), "{width}: {text}");
    }
}

#[test]
fn a_listing_is_watched_in_place() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let path = place.socket();
    let (mut master, slave) = terminal(80, 24);
    let mut watching = ls(["--watch=50ms"]);
    let mut child = watching
        .arg(&path)
        .stdout(slave)
        .spawn()
        .expect("it starts");
    drop(watching);
    let mut text = String::new();
    while text.matches("\x1b[J").count() < 3 {
        let mut bytes = [0; 4096];
        let count = master.read(&mut bytes).expect("it is watched");
        text.push_str(str::from_utf8(&bytes[..count]).expect("text"));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).expect("our own child");
    let status = child.wait().expect("our own child");
    drop(listener);
    // The screen is cleared once and then written over, and nothing is left to be set back.
    assert_eq!(text.matches("\x1b[2J").count(), 1, "{text:?}");
    let text = text.replace("\r\n", "\n");
    for round in text.split("\x1b[H").skip(1).take(3) {
        let first = round.lines().next().expect("a line");
        assert!(first.ends_with("Z\x1b[K"), "the time: {round:?}");
        assert!(
            round.contains("listening") && round.contains("\x1b[J"),
            "{round:?}"
        );
    }
    let set = ["\x1b[?", "\x1b7", "\x1b[s"];
    assert!(
        !set.iter().any(|sequence| text.contains(sequence)),
        "{text:?}"
    );
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn a_watched_listing_counts_the_rows_that_the_screen_has_no_room_for() {
    let place = Place::new();
    let paths: Vec<_> = (0..40).map(|i| place.at(format!("{i}"))).collect();
    let listeners: Vec<_> = paths.iter().map(UnixListener::bind).collect();
    assert!(listeners.iter().all(Result::is_ok), "fresh paths");
    let (mut master, slave) = terminal(80, 24);
    let mut watching = ls(["--watch=50ms"]);
    let child = watching.args(&paths).stdout(slave).spawn();
    let mut child = child.expect("it starts");
    drop(watching);
    let mut text = String::new();
    while !text.contains("\x1b[J") {
        let mut bytes = [0; 4096];
        let count = master.read(&mut bytes).expect("it is watched");
        text.push_str(str::from_utf8(&bytes[..count]).expect("text"));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).expect("our own child");
    child.wait().expect("our own child");
    let (round, _) = text.split_once("\x1b[J").expect("a round");
    let rows = round.matches(" 4096 ").count();
    let last = round.trim_end().lines().next_back();
    let more = format!("{} more\x1b[K", paths.len() - rows);
    assert_eq!(last, Some(&*more), "{round}");
    // What standard error has to say takes its lines, too.
    assert!((10..=20).contains(&rows), "{rows}: {round}");
}

#[test]
fn many_descriptors_are_a_number_or_left_out() {
    let place = Place::new();
    let path = place.at("a rather long name of an application.sock");
    // A process of its own: what we hold, a child of another test may hold for a moment.
    let script = "import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
again = [os.dup(s.fileno()) for _ in range(60)]; print('ready'); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let server = Process::spawn_piped(server.arg(&path));
    server.stdout.line("ready", |line| line == "ready");
    let mut seen = 0;
    for width in 60..=160 {
        let text = on_terminal(&mut ls([&path]), width);
        let (header, row) = text.split_once('\n').expect("two lines");
        if header.contains(" FD ") {
            // Another listing may have borrowed one just now, to ask what it is.
            let mut more = row.split_whitespace().filter_map(|w| w.strip_prefix('+'));
            let is_told = more.any(|more| more.parse().is_ok_and(|more: u32| more >= 60));
            assert!(is_told, "{width}: {text}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there is room at last");
}
