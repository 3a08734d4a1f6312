//! `send --http` with servers of every kind.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::Site;
use crate::support::{Finished, Place, run, run_with_input, serve_once, sockeye};

fn send(place: &Place, arguments: &[&str]) -> Command {
    let mut command = sockeye();
    command
        .args(["send", "--timeout", "20s", "--http"])
        .args(arguments)
        .arg(place.socket());
    command
}

/// Reads the head of a request.
fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).expect("text")
}

/// What `send --http 'GET /'` makes of an answer.
fn answered(answer: &'static [u8]) -> Finished {
    let place = Place::new();
    let server = serve_once(&place.socket(), move |mut stream| {
        head(&mut stream);
        let _ = stream.write_all(answer);
    });
    let finished = run(&mut send(&place, &["GET /"]));
    server.join().expect("the server does not panic");
    finished
}

#[test]
fn the_body_of_an_answer_is_printed_however_it_ends() {
    for (answer, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokrest"[..], "ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n", "ok!"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil EOF", "until EOF"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let finished = answered(answer);
        finished.succeeds();
        assert_eq!(finished.text(), body);
    }
}

#[test]
fn a_redirect_is_reported_and_not_followed() {
    for (answer, body, found) in [
        (
            &b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"[..],
            "",
            &["302 found; its location is /x;"] as &[&str],
        ),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /b\tc\r\nContent-Length: 5\r\n\r\nmoved",
            "moved",
            &["301 moved; its location is \"/b\\tc\";"],
        ),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "",
            &["GET / at ", "the status is 304 not modified\n"],
        ),
    ] {
        let finished = answered(answer);
        assert_eq!((finished.code, &*finished.text()), (Some(0), body));
        finished.explains(found);
    }
    let site = Site::new(&[], |root| {
        std::fs::create_dir(root.join("dir")).expect("fresh");
    });
    // The location is printed already.
    let shown = run(&mut send(&site.place, &["/dir", "--include"]));
    shown.succeeds();
    assert!(shown.text().contains("location: /dir/\r\n"), "{shown:?}");
}

#[test]
fn a_status_of_400_and_above_is_exit_1() {
    for (answer, body, status) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n"[..],
            "no\n",
            "404 not found",
        ),
        (
            b"HTTP/1.1 599\r\nContent-Length: 0\r\n\r\n",
            "",
            "status is 599;",
        ),
    ] {
        let finished = answered(answer);
        assert_eq!((finished.code, &*finished.text()), (Some(1), body));
        finished.explains(&["cannot GET / at", status]);
    }
}

#[test]
fn an_answer_that_is_broken_is_exit_1() {
    for (answer, word) in [
        (&b""[..], "before the answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Le",
            "before the answer was complete",
        ),
        (b"hello\n", "not HTTP/1|before the answer was complete"),
        (b"* OK IMAP4 ready\r\n\r\n", "not HTTP/1"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "101",
        ),
    ] {
        answered(answer).fails(1, &[word]);
    }
    let short = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    assert_eq!((short.code, &*short.text()), (Some(1), "short"));
    short.explains(&["before message length reached"]);
    let chunk = answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
    assert_eq!(chunk.code, Some(1));
    let long: &'static [u8] = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'a'; 1 << 20]]
        .concat()
        .leak();
    answered(long).fails(1, &["too large"]);
}

#[test]
fn a_request_has_what_was_asked_for() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let head = head(&mut stream);
        let mut body = [0; 7];
        stream.read_exact(&mut body).expect("a body");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        (head, body)
    });
    let fields = [
        "-H",
        "X-A: 1",
        "-H",
        "X-A: 2",
        "-H",
        "accept:",
        "-H",
        "Host: other",
    ];
    let mut command = send(&place, &["/a?b=c", "-d", "@-"]);
    run_with_input(command.args(fields), "a\nb=c\r\n").succeeds();
    let (head, body) = server.join().expect("no panic");
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
    for field in [
        "Host: other",
        "X-A: 1",
        "X-A: 2",
        "Content-Length: 7",
        "Content-Type: application/x-www-form-urlencoded",
    ] {
        assert!(
            head.contains(&format!("\r\n{field}\r\n")),
            "{field}: {head}"
        );
    }
    assert!(!head.contains("Accept"), "{head}");
    assert_eq!(&body, b"a\nb=c\r\n");
}

/// The head and the body of a request with these arguments.
fn asked(place: &Place, arguments: &[&str]) -> (String, String) {
    let _ = std::fs::remove_file(place.socket());
    let server = serve_once(&place.socket(), |mut stream| {
        let head = head(&mut stream);
        let length = head.split_once("Content-Length: ");
        let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).expect("a body");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        (head, String::from_utf8(body).expect("text"))
    });
    run(&mut send(place, arguments)).succeeds();
    server.join().expect("no panic")
}

#[test]
fn a_request_with_an_empty_body_says_so() {
    let place = Place::new();
    std::fs::write(place.at("empty"), "").expect("fresh");
    let empty = format!("@{}", place.at("empty").display());
    for (arguments, has_length) in [
        (&["POST /", "-d", ""] as &[&str], true),
        (&["/", "-d", &empty], true),
        (&["DELETE /", "-d", ""], true),
        (&["POST /"], true),
        (&["PUT /"], true),
        (&["PATCH /"], true),
        (&["POST /", "-H", "Transfer-Encoding: chunked"], true),
        (&["GET /"], false),
        (&["DELETE /"], false),
    ] {
        let (head, _) = asked(&place, arguments);
        let lengths = head.matches("\r\nContent-Length: 0\r\n").count();
        assert_eq!(lengths, usize::from(has_length), "{arguments:?}: {head}");
        assert!(!head.contains("Transfer-Encoding"), "{head}");
    }
}

#[test]
fn several_parts_of_a_body_are_joined_as_those_of_a_form() {
    let place = Place::new();
    std::fs::write(place.at("part"), "c=d").expect("fresh");
    let part = format!("@{}", place.at("part").display());
    let (head, body) = asked(&place, &["/", "-d", "a=b", "-d", &part, "-d", "e"]);
    assert!(head.starts_with("POST / "), "{head}");
    assert_eq!(body, "a=b&c=d&e");
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let place = Place::new();
    let mut typed = sockeye();
    typed.args(["send", "-X", "POST"]).arg(place.socket());
    run(&mut typed).fails(2, &["goes into --http, as in --http 'POST /path'"]);
    run(&mut send(&place, &["/a b.txt"])).fails(2, &["may have no blanks", "%20"]);
    let words = ["cannot read nofile, the body of the request: no such file"];
    run(&mut send(&place, &["POST /", "-d", "@nofile"])).fails(1, &words);
    let words = ["cannot read standard input, the body of the request: is a directory"];
    let script = r#""$0" send --http 'POST /' -d @- "$1" < /"#;
    let mut input = Command::new("sh");
    input.args(["-c", script, env!("CARGO_BIN_EXE_sockeye")]);
    run(input.arg(place.socket())).fails(1, &words);
    let words = ["cannot send the body of the request to", "more than 64MiB"];
    run(&mut send(&place, &["/", "-d", "a", "-d", "@/dev/zero"])).fails(2, &words);
}

#[test]
fn head_and_include_print_the_fields() {
    let site = Site::new(&[], |_| ());
    let asked = |arguments: &[&str]| {
        let finished = run(&mut send(&site.place, arguments));
        finished.succeeds();
        finished.text()
    };
    let head = asked(&["HEAD /"]);
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let both = asked(&["/", "--include"]);
    assert!(both.ends_with("\r\n\r\n<p>hello</p>\n"), "{both}");
}

#[test]
fn a_silent_server_and_a_missing_one_have_exit_codes_of_their_own() {
    let place = Place::new();
    run(&mut send(&place, &["/"])).fails(3, &["no such file"]);
    let server = serve_once(&place.socket(), |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the client ends");
    });
    let mut command = sockeye();
    command
        .args(["send", "--http", "/", "--timeout", "100ms"])
        .arg(place.socket());
    run(&mut command).fails(6, &["not complete after 100ms", "--timeout"]);
    server.join().expect("no panic");
}

#[test]
fn it_ends_when_nobody_reads() {
    let site = Site::new(&[], |root| {
        std::fs::write(root.join("large"), vec![b'x'; 8 << 20]).expect("fresh");
    });
    let script = r#""$0" send --http /large "$1" | head -c 1; echo "${PIPESTATUS[0]}""#;
    let ended = run(Command::new("bash")
        .args(["-c", script])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg(&site.server.path));
    assert_eq!(ended.text(), "x141\n", "{ended:?}");
}
