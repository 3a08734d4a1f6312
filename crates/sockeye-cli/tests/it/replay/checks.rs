//! `--check` and `--mask`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::Kind;

use super::recorder::RecordingRelay;
use super::{answer_lines, last_line, record_lines, replay, serve_each};
use crate::support::Place;

#[test]
fn the_first_difference_is_shown_in_its_line() {
    let place = Place::new();
    let answer = |body: &str| format!("status: ok\nlength: {}\n\n{body}", body.len());
    answer_lines(&place.socket(), move |line| {
        answer(&format!("got {line}\n"))
    });
    let file = record_lines(&place, &[&["first"], &["second"]]);
    let played = replay(&["--check", "--speed", "max"], &file, place.socket());
    assert_eq!(played.code, Some(0), "{played:#?}");
    answer_lines(&place.socket(), move |line| {
        answer(&format!("got {}\n", line.replace("second", "other")))
    });
    let played = replay(&["--check", "--speed", "max"], &file, place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    assert_eq!(
        played.text(),
        concat!(
            "connection 1 differs at byte 20 of the answer\n",
            "  expected \"length: 11\\n\"\n",
            "  found    \"length: 10\\n\"\n",
            "                     ^\n"
        )
    );
    assert!(last_line(&played).contains(", 1 different"), "{played:#?}");
}

#[test]
fn what_a_mask_matches_may_differ_in_length() {
    let place = Place::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    // The numbers grow from answer to answer.
    let answer = |line: &str| {
        let id = "9".repeat(COUNT.fetch_add(1, Ordering::Relaxed) as usize);
        format!("id: {id}\r\nhello {line} ({id})\n")
    };
    answer_lines(&place.socket(), answer);
    let lines: &[&str] = &["a", "b", "c"];
    let file = record_lines(&place, &[lines, lines]);
    let played = replay(&["--check", "--speed", "max"], &file, place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    let masks = ["--check", "--mask", "^id: .*", "--mask", r"\([0-9]+\)"];
    for speed in ["max", "1"] {
        let played = replay(
            &[&masks[..], &["--speed", speed]].concat(),
            &file,
            place.socket(),
        );
        assert_eq!(played.code, Some(0), "{played:#?}");
    }
    // A mask that hides too little.
    let played = replay(&masks[..3], &file, place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    assert!(
        played.text().contains("expected \"hello a ("),
        "{played:#?}"
    );
}

#[test]
fn an_answer_that_ends_in_what_a_mask_matches_is_awaited() {
    let place = Place::new();
    let serve = |id: &'static [u8]| {
        move |mut stream: UnixStream| {
            let mut request = [0; 100];
            while let Ok(1..) = stream.read(&mut request) {
                // In pieces: any number of digits is a match.
                for digit in [b"number ", id].concat().chunks(1) {
                    stream.write_all(digit).unwrap();
                }
                stream.write_all(b"\n").unwrap();
            }
        }
    };
    serve_each(&place.socket(), serve(b"1"));
    let file = record_lines(&place, &[&["a", "b", "c"]]);
    serve_each(&place.socket(), serve(b"123456789"));
    let played = replay(
        &["--check", "--mask", r"[0-9]+\n", "--speed", "max"],
        &file,
        place.socket(),
    );
    assert_eq!(played.code, Some(0), "{played:#?}");
}

#[test]
fn an_answer_that_is_shorter_longer_or_missing_differs() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line} is answered\n"));
    let file = record_lines(&place, &[&["one"]]);
    let check = ["--check", "--timeout", "200ms"];
    answer_lines(&place.socket(), |line| {
        format!("{line} is answered\nand more")
    });
    let longer = replay(&check, &file, place.socket());
    assert_eq!(longer.code, Some(1), "{longer:#?}");
    assert!(
        longer.text().contains("expected \"\" and then EOF\n"),
        "{longer:#?}"
    );
    assert!(
        longer.text().contains("found    \"and more\"\n"),
        "{longer:#?}"
    );
    answer_lines(&place.socket(), |line| format!("{line} is ans"));
    let shorter = replay(&check, &file, place.socket());
    assert_eq!(shorter.code, Some(6), "{shorter:#?}");
    assert!(
        shorter
            .text()
            .contains("found    \"one is ans\" and then nothing for 200ms\n"),
        "{shorter:#?}"
    );
    serve_each(&place.socket(), |mut stream| {
        let _ = stream.read(&mut [0; 100]);
    });
    let closed = replay(&check, &file, place.socket());
    assert_eq!(closed.code, Some(1), "{closed:#?}");
    assert!(
        closed.text().contains("found    \"\" and then EOF\n"),
        "{closed:#?}"
    );
}

#[test]
fn more_than_a_client_had_read_before_it_closed_differs() {
    let place = Place::new();
    answer_lines(&place.socket(), str::to_owned);
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let mut client = UnixStream::connect(&relay.front).unwrap();
    client.write_all(b"ping\n").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    // At once, without a half-close.
    drop(client);
    let file = relay.finish();
    let check = ["--check", "--speed", "max", "--quiet"];
    replay(&check, &file, place.socket()).succeeds();
    // What a server says to a client that has gone is no part of the answer.
    serve_each(&place.socket(), |mut stream| {
        let mut request = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut request) {
            stream.write_all(request[..count].trim_ascii_end()).unwrap();
        }
        let _ = stream.write_all(b"bye");
    });
    replay(&check, &file, place.socket()).succeeds();
    answer_lines(&place.socket(), |line| format!("{line} and more"));
    let played = replay(&check, &file, place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    assert!(
        played.text().contains(r#"found    "ping and more""#),
        "{played:#?}"
    );
}

#[test]
fn more_than_a_client_had_waited_for_is_no_difference() {
    let place = Place::new();
    serve_each(&place.socket(), |mut stream| {
        let _ = stream.read(&mut [0; 100]);
        while stream.write_all(&[b'x'; 10_000]).is_ok() {}
    });
    let relay = RecordingRelay::start(&place, "tap", Kind::Stream, &place.socket());
    let mut client = UnixStream::connect(&relay.front).unwrap();
    client.write_all(b"all\n").unwrap();
    client.read_exact(&mut [0; 50_000]).unwrap();
    // With unread bytes: it is reset.
    drop(client);
    let file = relay.finish();
    let check = ["--check", "--speed", "max", "--quiet"];
    replay(&check, &file, place.socket()).succeeds();
}

#[test]
fn what_a_server_sends_is_escaped() {
    let place = Place::new();
    answer_lines(&place.socket(), |line| format!("{line}\n"));
    let file = record_lines(&place, &[&["one"]]);
    answer_lines(&place.socket(), |_| "\x1b[2Jo\n".to_owned());
    let played = replay(&["--check"], &file, place.socket());
    assert!(
        played.text().contains(r#"found    "\x1b[2Jo\n""#),
        "{played:#?}"
    );
}
