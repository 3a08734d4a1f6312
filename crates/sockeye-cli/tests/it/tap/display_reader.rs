//! Readers of a tap's display that are slow, that stop, or that are gone.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Echo, ask, tap};
use crate::support::eventually;

/// A tap whose display the test reads, or not.
struct ReadByHand {
    tap: Child,
    stdout: Option<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl ReadByHand {
    #[track_caller]
    fn start(options: &[&str], path: &Path) -> Self {
        let mut command = tap(options, path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut tap = command.spawn().expect("it starts");
        let stdout = tap.stdout.take();
        let mut stderr = BufReader::new(tap.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("tapping") {
            line.clear();
            assert!(
                stderr.read_line(&mut line).expect("text") > 0,
                "it has ended"
            );
        }
        Self {
            tap,
            stdout,
            stderr,
        }
    }

    /// The signal or the exit status of its end, which comes by itself.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, Option<i32>) {
        drop(self.stdout.take());
        let ended = || self.tap.try_wait().expect("our own child");
        let status = eventually("the tap ends", ended);
        (status.signal(), status.code())
    }
}

impl Drop for ReadByHand {
    fn drop(&mut self) {
        let _ = self.tap.kill();
        let _ = self.tap.wait();
    }
}

/// How much the tap sees of a flood.
const FLOOD: u64 = 4 * EXCHANGES * 2 * MESSAGE as u64;
/// Of each of four clients. There are more messages than the queue of the display takes (4096).
const EXCHANGES: u64 = 1000;
const MESSAGE: usize = 4000;

/// Sends so much through the tap that no queue takes it, and reads it back.
fn flood(path: &Path) {
    let message = vec![b'x'; MESSAGE];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EXCHANGES {
                    assert_eq!(
                        ask(path, &message).expect("never refused").len(),
                        message.len()
                    );
                }
            });
        }
    });
}

#[test]
fn a_tap_ends_once_its_reader_has_seen_enough() {
    let echo = Echo::start();
    let path = echo.place.socket();
    for options in [&["--text"][..], &["--json"], &["--http"]] {
        let mut tap = ReadByHand::start(options, &path);
        let mut stdout = BufReader::new(tap.stdout.take().expect("not read yet"));
        ask(&path, b"hello").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        // As head -1.
        drop(stdout);
        let end = tap.end();
        assert!(echo.is_restored());
        assert_eq!(end, (Some(Signal::PIPE.as_raw()), None), "{line}");
    }
}

#[test]
fn a_tap_ends_when_nobody_reads_it_though_nothing_is_shown() {
    let echo = Echo::start();
    let tap = ReadByHand::start(&[], &echo.place.socket());
    assert_eq!(tap.end(), (Some(Signal::PIPE.as_raw()), None));
    assert!(echo.is_restored());
}

#[test]
fn a_reader_that_stops_slows_no_traffic_and_what_it_missed_is_counted() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap = ReadByHand::start(&["--json"], &path);
    // Nobody reads; every exchange is answered nevertheless.
    flood(&path);
    let status = std::fs::read_to_string(format!("/proc/{}/status", tap.tap.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok());
    assert!(
        peak.is_some_and(|kib| kib < 256 << 10),
        "bounded memory: {peak:?} KiB"
    );
    let mut stdout = tap.stdout.take().expect("not read yet");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("text");
        text
    });
    kill_process(Pid::from_child(&tap.tap), Signal::TERM).unwrap();
    assert_eq!(tap.end(), (None, Some(0)));
    let text = reader.join().expect("no panic");
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("whole lines"))
        .collect();
    let sum = |kind: &str, field: &str| -> u64 {
        let of_kind = events.iter().filter(|event| event["event"] == kind);
        of_kind.filter_map(|event| event[field].as_u64()).sum()
    };
    let last = events.last().expect("events");
    assert_eq!(
        (&last["event"], &last["connection"]),
        (&"missed".into(), &Value::Null)
    );
    let missed = last["missed_bytes"].as_u64().expect("a count");
    // A stream's message may be read in two pieces, so only bytes are certain.
    assert!(missed > 0);
    assert_eq!(sum("message", "size") + missed, FLOOD);
}

#[test]
fn a_reader_that_has_stopped_does_not_keep_the_tap_from_ending() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut tap = ReadByHand::start(&[], &path);
    let unread = tap.stdout.take();
    flood(&path);
    kill_process(Pid::from_child(&tap.tap), Signal::TERM).unwrap();
    let mut told = String::new();
    tap.stderr.read_to_string(&mut told).expect("text");
    assert!(told.contains("the display is incomplete"), "{told}");
    assert_eq!(tap.end(), (None, Some(0)));
    assert!(echo.is_restored());
    drop(unread);
}
