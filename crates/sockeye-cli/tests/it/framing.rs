//! Where a message ends: at a newline, at each read, or after its length.

use crate::support::{Client, Place, REPLY, Server};

/// A frame as `--framing length` has it: a big-endian length, then as many bytes.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    [&length.to_be_bytes(), payload].concat()
}

fn read_frame(client: &mut Client) -> Vec<u8> {
    let header = client.exactly(4).try_into().expect("four bytes");
    client.exactly(u32::from_be_bytes(header) as usize)
}

#[test]
fn lines_are_answered_one_by_one_on_one_connection() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--reply", "ok"]);
    let mut client = server.client();
    for _ in 0..3 {
        client.send("ping\n");
        assert_eq!(client.line(), "ok");
    }
}

#[test]
fn lines_that_come_together_are_answered_each() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--reply", "ok"]);
    assert_eq!(server.ask("a\nb\n\nd"), "ok\nok\nok\nok\n");
    let lines = server.process.stdout.first_lines(4);
    for (line, end) in lines.iter().zip([": a", ": b", ": ", ": d"]) {
        assert!(line.ends_with(end), "{lines:?}");
    }
}

#[test]
fn a_line_is_not_answered_before_its_end() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut client = server.client();
    client.send("first\nhal");
    assert_eq!(client.line(), REPLY);
    assert!(!server.process.stdout.so_far().contains("hal"));
    client.send("f\n");
    assert_eq!(client.line(), REPLY);
    let lines = server.process.stdout.first_lines(2);
    assert!(lines[1].ends_with(": half"), "{lines:?}");
}

#[test]
fn raw_framing_answers_every_read() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "raw", "--reply", "ok"]);
    let mut client = server.client();
    for part in ["no", "new", "line"] {
        client.send(part);
        assert_eq!(client.line(), "ok");
    }
    let lines = server.process.stdout.first_lines(3);
    for (line, end) in lines.iter().zip([": no", ": new", ": line"]) {
        assert!(line.ends_with(end), "{lines:?}");
    }
}

#[test]
fn length_frames_are_answered_with_length_frames() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--framing", "length", "--reply", "ok"]);
    let mut client = server.client();
    for payload in ["one", "two\nlines", ""] {
        client.send(frame(payload.as_bytes()));
        assert_eq!(read_frame(&mut client), b"ok", "no newline is added");
    }
    // Split in the middle of the header, and of the payload.
    let split = frame(b"in pieces");
    for piece in [&split[..2], &split[2..6], &split[6..]] {
        client.send(piece);
    }
    assert_eq!(read_frame(&mut client), b"ok");
    client.finish();
    assert_eq!(client.rest(), b"");
    let lines = server.process.stdout.first_lines(4);
    assert!(lines[0].ends_with(": one"), "{lines:?}");
    assert!(lines[3].ends_with(": in pieces"), "{lines:?}");
}

#[test]
fn a_frame_cut_short_is_no_message() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--framing", "length"]);
    let mut client = server.client();
    client.send(&frame(b"whole")[..7]);
    client.finish();
    client.is_cut();
    server.terminate();
    assert_eq!(server.ending().stdout, "");
}

#[test]
fn a_discarding_server_reads_and_does_not_answer() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--discard"]);
    let mut client = server.client();
    for _ in 0..64 {
        client.send([b"x".repeat(65535).as_slice(), b"\n"].concat());
    }
    client.finish();
    assert_eq!(client.rest(), b"", "no answer");
    server.stop().is_clean();
}

#[test]
fn echo_sends_bytes_back_as_they_come_and_prints_nothing() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let mut client = server.client();
    client.send("no newline");
    assert_eq!(client.exactly(10), b"no newline");
    client.send(b"\x00\xff\n");
    client.finish();
    assert_eq!(client.rest(), b"\x00\xff\n");
    assert_eq!(server.stop().stdout, "");
}

/// Sends `oversize` on one connection while another is in use. `answer` is what `good` brings.
fn only_the_oversize_one_is_closed(options: &[&str], good: &[u8], answer: &[u8], oversize: &[u8]) {
    let place = Place::new();
    let server = Server::start(place.socket(), options);
    let converse = |client: &mut Client| {
        client.send(good);
        assert_eq!(client.exactly(answer.len()), answer);
    };
    let mut other = server.client();
    converse(&mut other);
    let mut client = server.client();
    converse(&mut client);
    client.send(oversize);
    client.is_cut();
    // After the greeting comes a line that tells of it.
    server.process.stderr.first_lines(2);
    converse(&mut other);
    converse(&mut server.client());
}

#[test]
fn an_oversize_line_closes_its_connection_only() {
    let line = [b"x".repeat(63).as_slice(), b"\n"].concat();
    let longer = [b"x".repeat(66).as_slice(), b"\n"].concat();
    let options = ["--max-message", "64", "--reply", "k"];
    only_the_oversize_one_is_closed(&options, &line, b"k\n", &longer);
    only_the_oversize_one_is_closed(&options, &line, b"k\n", &b"x".repeat(4096));
}

#[test]
fn an_oversize_frame_closes_its_connection_only() {
    let options = ["--framing", "length", "--max-message", "64", "--reply", "k"];
    let good = frame(&b"x".repeat(64));
    let answer = frame(b"k");
    only_the_oversize_one_is_closed(&options, &good, &answer, &frame(&b"x".repeat(65)));
    only_the_oversize_one_is_closed(&options, &good, &answer, &u32::MAX.to_be_bytes());
}

#[test]
fn an_oversize_end_of_input_is_not_answered() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--max-message", "64"]);
    let mut client = server.client();
    client.send(b"x".repeat(66));
    client.finish();
    client.is_cut();
    assert_eq!(server.ask("fine\n"), format!("{REPLY}\n"));
}

#[test]
fn a_size_may_have_a_unit() {
    let place = Place::new();
    let server = Server::start(place.socket(), &["--max-message", "2KiB"]);
    assert_eq!(server.ask("x".repeat(2000)), format!("{REPLY}\n"));
    let mut client = server.client();
    client.send("x".repeat(2100));
    client.is_cut();
}

#[test]
fn a_message_has_a_mebibyte_at_most_unless_asked() {
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut message = "x".repeat((1 << 20) - 1);
    message.push('\n');
    assert_eq!(server.ask(message), format!("{REPLY}\n"));
}
