use std::time::{Duration, Instant};

use proptest::prelude::*;
use sockeye::relay::ObservedDirection::{self, ToClient, ToTarget};

use super::{HttpConnection, HttpEvent};

/// One event in a few words.
fn words(event: &HttpEvent<'_>) -> String {
    match event {
        HttpEvent::Request(it) => {
            format!("{} {} 1.{} {:?}", it.method, it.target, it.minor, it.size)
        }
        HttpEvent::Interim { status, reason } => format!("{status} {reason}"),
        HttpEvent::Response(it) => {
            let of = it.request.as_ref().map(|request| request.target.as_str());
            let complete = if it.is_complete { "" } else { " incomplete" };
            format!(
                "{} {} {}{complete} of {of:?}",
                it.status, it.reason, it.size
            )
        }
        HttpEvent::Unanswered { request, .. } => format!("{} unanswered", request.target),
        HttpEvent::Upgraded(protocol) => format!("upgraded to {protocol}"),
        HttpEvent::Problem(direction, problem) => format!("{direction:?} {problem:?}"),
        HttpEvent::Truncated(direction) => format!("{direction:?} truncated"),
    }
}

/// A connection and the events so far, all at one time.
struct Heard {
    connection: HttpConnection,
    at: Instant,
    events: Vec<String>,
}

impl Heard {
    fn new() -> Self {
        Self {
            connection: HttpConnection::new(),
            at: Instant::now(),
            events: Vec::new(),
        }
    }

    fn feed(&mut self, direction: ObservedDirection, bytes: &[u8]) {
        let events = &mut self.events;
        let mut sink = |event: HttpEvent<'_>| events.push(words(&event));
        self.connection.feed(direction, bytes, self.at, &mut sink);
    }

    fn end(&mut self, direction: ObservedDirection, is_eof: bool) {
        let events = &mut self.events;
        let mut sink = |event: HttpEvent<'_>| events.push(words(&event));
        self.connection.end(direction, is_eof, self.at, &mut sink);
    }
}

/// The events of this conversation, which ends.
fn heard(parts: &[(ObservedDirection, &[u8])]) -> Vec<String> {
    let mut heard = Heard::new();
    for (direction, bytes) in parts {
        heard.feed(*direction, bytes);
    }
    heard.end(ToTarget, true);
    heard.end(ToClient, true);
    heard.events
}

#[test]
fn a_response_belongs_to_the_request_before_it() {
    let found = heard(&[
        (ToTarget, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        (
            ToTarget,
            b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD /c HTTP/1.0\r\n\r\n",
        ),
        (
            ToClient,
            b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        ),
    ]);
    assert_eq!(
        found,
        [
            "GET /a 1.1 Some(0)",
            "200 OK 2 of Some(\"/a\")",
            "POST /b 1.1 Some(3)",
            "HEAD /c 1.0 Some(0)",
            "204 No Content 0 of Some(\"/b\")",
            "200 OK 0 of Some(\"/c\")",
        ]
    );
}

#[test]
fn chunks_interim_responses_and_eof_end_a_body() {
    let found = heard(&[
        (
            ToTarget,
            b"PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        (ToClient, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (ToTarget, b"3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
        (
            ToClient,
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (ToClient, b"HTTP/1.0 200 OK\r\n\r\nuntil the end"),
    ]);
    assert_eq!(
        found,
        [
            "PUT /a 1.1 None",
            "100 Continue",
            "GET /b 1.1 Some(0)",
            "201 Created 5 of Some(\"/a\")",
            "200 OK 13 of Some(\"/b\")",
        ]
    );
}

#[test]
fn what_the_end_of_the_connection_leaves_open_is_said() {
    let request = (
        ToTarget,
        &b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET"[..],
    );
    let response = (
        ToClient,
        &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"[..],
    );
    assert_eq!(
        heard(&[request, response])[2..],
        [
            "ToTarget truncated",
            "200 OK 2 incomplete of Some(\"/a\")",
            "/b unanswered",
        ]
    );
    let mut reset = Heard::new();
    reset.feed(ToTarget, b"GET /a HTTP/1.1\r\n\r\n");
    reset.feed(ToClient, b"HTTP/1.1 200 OK\r\n\r\nhi");
    reset.end(ToClient, false);
    assert_eq!(reset.events[1..], ["200 OK 2 incomplete of Some(\"/a\")"]);
}

#[test]
fn an_upgrade_or_a_tunnel_ends_what_is_shown() {
    let request =
        &b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"[..];
    let found = heard(&[
        (ToTarget, request),
        (
            ToClient,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05",
        ),
        (ToTarget, b"\x81\x85"),
    ]);
    assert_eq!(
        found[1..],
        [
            "101 Switching Protocols 0 of Some(\"/ws\")",
            "upgraded to websocket"
        ]
    );

    let found = heard(&[
        (ToTarget, b"CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03"),
        (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    ]);
    assert_eq!(
        found[1..],
        ["200 OK 0 of Some(\"a:1\")", "upgraded to a tunnel"]
    );

    let refused = heard(&[
        (ToTarget, request),
        (ToTarget, b"GET /b HTTP/1.1\r\n\r\n"),
        (ToClient, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]);
    assert_eq!(
        refused[1..],
        [
            "400 Bad 0 of Some(\"/ws\")",
            "GET /b 1.1 Some(0)",
            "200 OK 0 of Some(\"/b\")"
        ]
    );
}

#[test]
fn what_is_not_http_is_said_once() {
    for (bytes, problem) in [
        (
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"[..],
            "ToTarget Http2",
        ),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", "ToTarget Syntax"),
        (b"SELECT 1;\n", "ToTarget Syntax"),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
            "ToTarget Length",
        ),
        (
            b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "ToTarget Length",
        ),
        (
            b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "ToTarget Syntax",
        ),
    ] {
        assert_eq!(heard(&[(ToTarget, bytes), (ToTarget, bytes)]), [problem]);
    }
    assert_eq!(heard(&[(ToClient, b"220 ready\r\n")]), ["ToClient Syntax"]);
    let long = [b"GET /".as_slice(), &[b'a'; 40 << 10], b" HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(heard(&[(ToTarget, &long)]), ["ToTarget HeadTooLong"]);
    let many = b"GET / HTTP/1.1\r\n\r\n".repeat(200);
    assert_eq!(
        heard(&[(ToTarget, &many)]).last().unwrap(),
        "ToTarget TooManyRequests"
    );
    let upgrade = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n".as_slice();
    let held = [upgrade, &[b'a'; 20 << 10]].concat();
    assert_eq!(
        heard(&[(ToTarget, &held)]).last().unwrap(),
        "ToTarget TooMuchHeld"
    );
}

#[test]
fn after_a_gap_the_next_request_is_found() {
    let mut heard = Heard::new();
    heard.feed(
        ToTarget,
        b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
    );
    heard.connection.skip(ToTarget, 50);
    heard.feed(ToTarget, &[b'x'; 47]);
    heard.feed(
        ToClient,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    );
    heard.connection.skip(ToClient, 97);
    heard.feed(ToClient, b"the end of something that was not seen");
    heard.feed(ToTarget, b"GET /b HTTP/1.1\r\n\r\n");
    heard.feed(ToClient, b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(
        heard.events,
        [
            "POST /a 1.1 Some(100)",
            "GET /b 1.1 Some(0)",
            "204 No Content 0 of Some(\"/b\")"
        ]
    );
}

#[test]
fn times_begin_with_the_end_of_the_request() {
    let mut connection = HttpConnection::new();
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let mut found = Vec::new();
    let mut sink = |event: HttpEvent<'_>| {
        if let HttpEvent::Response(response) = event {
            found.push((response.latency, response.total));
        }
    };
    let request = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n";
    connection.feed(ToTarget, request, start, &mut sink);
    connection.feed(ToTarget, b"ab", after(10), &mut sink);
    connection.feed(ToClient, b"HTTP/1.1", after(15), &mut sink);
    connection.feed(
        ToClient,
        b" 200 OK\r\nContent-Length: 2\r\n\r\na",
        after(20),
        &mut sink,
    );
    connection.feed(ToClient, b"b", after(30), &mut sink);
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(found, [(millis(5), millis(20))]);
}

/// What may stand in one direction, whole or not.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let one = prop::sample::select(vec![
        &b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"HEAD /b HTTP/1.0\n\n",
        b"POST /c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
        b"GET /e HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"CONNECT f:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n",
        b"GET / HTTP/1.1\r\nA\0: b\r\n\r\n",
        b"no http at all, and longer than a line is\n",
        b"\x16\x03\x01\0",
    ]);
    prop::collection::vec(one, 0..6).prop_map(|parts| parts.concat())
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    let one = prop::sample::select(vec![
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 404\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.0 500 Oh\r\n\r\nuntil the end",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"220 another protocol\r\n",
    ]);
    prop::collection::vec(one, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_events(
        requests in requests(),
        responses in responses(),
        cuts in prop::collection::vec(1..40_usize, 1..20),
    ) {
        let whole = heard(&[(ToTarget, &requests), (ToClient, &responses)]);
        let mut split = Heard::new();
        for (direction, mut bytes) in [(ToTarget, &requests[..]), (ToClient, &responses[..])] {
            let mut sizes = cuts.iter().cycle();
            while !bytes.is_empty() {
                let size = bytes.len().min(*sizes.next().expect("a cycle"));
                split.feed(direction, &bytes[..size]);
                bytes = &bytes[size..];
            }
        }
        split.end(ToTarget, true);
        split.end(ToClient, true);
        prop_assert_eq!(split.events, whole);
    }
}
