//! What each display shows, to the byte.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jiff::tz::TimeZone;
use sockeye::Kind;
use sockeye::relay::ObservedDirection::{self, ToClient, ToTarget};
use sockeye::relay::{DirectionEnd, ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece};

use super::{TapClient, TapDisplay, TapMissed, TapStyle};

const PLAIN: TapStyle = TapStyle {
    zone: TimeZone::UTC,
    is_colored: false,
};

/// A display with a clock of its own.
struct Stage {
    display: TapDisplay,
    start: Instant,
    micros: u64,
}

impl Stage {
    fn new(display: TapDisplay) -> Self {
        Self {
            display,
            start: Instant::now(),
            micros: 0,
        }
    }

    fn after(&mut self, micros: u64) -> &mut Self {
        self.micros += micros;
        self
    }

    fn time(&self) -> (SystemTime, Instant) {
        let passed = Duration::from_micros(self.micros);
        let start = UNIX_EPOCH + Duration::new(1_798_761_599, 999_999_007);
        (start + passed, self.start + passed)
    }

    fn begin(&mut self, number: u64) -> &mut Self {
        let client = TapClient {
            pid: Some(4242),
            command: Some(b"curl".to_vec()),
            uid: Some(1000),
            user: Some("user".to_owned()),
        };
        self.begin_of(number, Kind::Stream, client)
    }

    fn begin_of(&mut self, number: u64, kind: Kind, client: TapClient) -> &mut Self {
        let mut begin = ObservedBegin::new(number, kind);
        (begin.time, begin.instant) = self.time();
        self.display.begin(&begin, client);
        self
    }

    fn message(&mut self, number: u64, direction: ObservedDirection, bytes: &[u8]) -> &mut Self {
        let mut piece = ObservedPiece::new(number, direction, Bytes::copy_from_slice(bytes));
        (piece.time, piece.instant) = self.time();
        self.display.message(&piece);
        self
    }

    fn end(&mut self, number: u64, direction: ObservedDirection, end: DirectionEnd) -> &mut Self {
        let mut end = ObservedEnd::new(number, direction, end);
        (end.time, end.instant) = self.time();
        self.display.end(&end);
        self
    }

    fn gap(&mut self, number: u64, direction: ObservedDirection) -> &mut Self {
        let mut gap = ObservedGap::new(number, direction);
        (gap.pieces, gap.bytes, gap.fds) = (12, 34567, 2);
        self.display.missed(&gap);
        self
    }

    /// An exchange of two messages on connection 3, whose client closes.
    fn exchange(&mut self) -> &mut Self {
        self.begin(3)
            .after(104)
            .message(3, ToTarget, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .after(1250)
            .message(
                3,
                ToClient,
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            )
            .after(10)
            .end(3, ToTarget, DirectionEnd::Eof)
            .end(3, ToClient, DirectionEnd::ReaderGone)
    }

    fn text(&mut self) -> String {
        String::from_utf8(std::mem::take(self.display.lines())).unwrap()
    }

    fn finished(&mut self) -> String {
        self.display.finish(TapMissed::default());
        self.text()
    }
}

/// No line of a text for people that has room for its content is wider than a terminal.
#[track_caller]
fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn text_has_a_line_for_each_message() {
    let text = Stage::new(TapDisplay::text(PLAIN, 256))
        .exchange()
        .finished();
    assert_eq!(
        text,
        "\
23:59:59.999999 #3 connected: pid 4242 (curl) uid 1000 (user)
00:00:00.000103 #3 > 27 bytes +104us: GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n
00:00:00.001353 #3 < 40 bytes +1.25ms: HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi
00:00:00.001363 #3 > EOF
00:00:00.001363 #3 closed after 1.36ms: 27 bytes to server, 40 to client
"
    );
}

#[test]
fn an_end_says_what_is_not_usual() {
    let text = Stage::new(TapDisplay::text(PLAIN, 256))
        .end(1, ToTarget, DirectionEnd::ReaderGone)
        .end(1, ToClient, DirectionEnd::Eof)
        .end(2, ToClient, DirectionEnd::ReaderGone)
        .end(2, ToTarget, DirectionEnd::Aborted)
        .end(3, ToClient, DirectionEnd::ReaderClosed)
        .text();
    assert_eq!(
        text,
        "\
23:59:59.999999 #1 > the server has closed
23:59:59.999999 #1 < EOF, closed after 0.00us: 0 bytes to server, 0 to client
23:59:59.999999 #2 < the client has closed
23:59:59.999999 #2 > aborted, closed after 0.00us: 0 bytes to server, 0 to client
23:59:59.999999 #3 < reader takes no more
"
    );
}

#[test]
fn what_a_peer_sends_is_escaped_and_cut() {
    let text = Stage::new(TapDisplay::text(PLAIN, 8))
        .begin_of(1, Kind::SeqPacket, TapClient::default())
        .message(1, ToTarget, b"\x1b[31m\n\xff\\123456789")
        .message(1, ToClient, b"")
        .message(1, ToClient, b"12345678")
        .end(1, ToClient, DirectionEnd::Reset)
        .text();
    assert_eq!(
        text,
        "\
23:59:59.999999 #1 connected: pid ? (?) uid ?
23:59:59.999999 #1 > 17 bytes +0.00us: \\x1b[31m\\n\\xff\\\\... 9 bytes more
23:59:59.999999 #1 < 0 bytes +0.00us
23:59:59.999999 #1 < 8 bytes +0.00us: 12345678
23:59:59.999999 #1 < reset
"
    );
    let none = Stage::new(TapDisplay::text(PLAIN, 0))
        .message(1, ToTarget, b"a")
        .text();
    assert_eq!(none, "23:59:59.999999 #1 > 1 byte +0.00us\n");
}

#[test]
fn hex_is_that_of_xxd() {
    let bytes: Vec<u8> = (0..20).chain(b"HTTP~\x7f".iter().copied()).collect();
    let text = Stage::new(TapDisplay::hex(PLAIN, 26))
        .message(1, ToTarget, &[bytes.as_slice(), b"12"].concat())
        .text();
    assert_eq!(
        text,
        "\
23:59:59.999999 #1 > 28 bytes +0.00us
00000000: 0001 0203 0405 0607 0809 0a0b 0c0d 0e0f  ................
00000010: 1011 1213 4854 5450 7e7f                 ....HTTP~.
... 2 bytes more
"
    );
    assert_narrow(&text);
}

#[test]
fn json_has_an_object_for_each_event() {
    let client = TapClient {
        pid: None,
        command: Some(b"n\xffc".to_vec()),
        uid: None,
        user: None,
    };
    let text = Stage::new(TapDisplay::json(u64::MAX))
        .begin(3)
        .after(1)
        .message(3, ToTarget, b"hi\n")
        .message(3, ToClient, b"\xff")
        .gap(3, ToClient)
        .end(3, ToClient, DirectionEnd::ReaderGone)
        .begin_of(4, Kind::Datagram, client)
        .finished();
    let peer = "\"pid\":4242,\"comm\":\"curl\",\"uid\":1000}";
    let start = "\"time\":\"2026-12-31T23:59:59.999999007Z\"";
    let time = "\"time\":\"2027-01-01T00:00:00.000000007Z\"";
    let expected = [
        format!("{{\"event\":\"begin\",\"connection\":3,{start},\"kind\":\"stream\",{peer}"),
        format!("{{\"event\":\"message\",\"connection\":3,{time},\"direction\":\"to-server\",\"size\":3,\"fds\":[],\"text\":\"hi\\n\",{peer}"),
        format!("{{\"event\":\"message\",\"connection\":3,{time},\"direction\":\"to-client\",\"size\":1,\"fds\":[],\"data\":\"/w==\",{peer}"),
        format!("{{\"event\":\"missed\",\"connection\":3,\"direction\":\"to-client\",\"missed_messages\":12,\"missed_bytes\":34567,\"missed_fds\":2,{peer}"),
        format!("{{\"event\":\"end\",\"connection\":3,{time},\"direction\":\"to-client\",\"end\":\"reader-gone\",\"total_bytes\":34568,\"total_messages\":13,{peer}"),
        format!("{{\"event\":\"begin\",\"connection\":4,{time},\"kind\":\"datagram\",\"pid\":null,\"comm\":\"n\u{fffd}c\",\"uid\":null}}"),
        "{\"event\":\"missed\",\"connection\":null,\"direction\":null,\"missed_messages\":12,\"missed_bytes\":34567,\"missed_fds\":2,\"missed_events\":0}".to_owned(),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn http_has_a_line_for_each_request_and_response() {
    let text = Stage::new(TapDisplay::http(PLAIN))
        .exchange()
        .begin(4)
        .message(
            4,
            ToTarget,
            b"POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
        )
        .after(100)
        .message(
            4,
            ToClient,
            b"HTTP/1.1 404 Not\x1b Found\r\nContent-Length: 9\r\n\r\nhi",
        )
        .after(50)
        .end(4, ToClient, DirectionEnd::Aborted)
        .text();
    assert_eq!(
        text,
        "\
23:59:59.999999 #3 connected: pid 4242 (curl) uid 1000 (user)
00:00:00.000103 #3 > GET /
00:00:00.001353 #3 < 200 OK, 2 bytes in 1.25ms: GET /
00:00:00.001363 #4 connected: pid 4242 (curl) uid 1000 (user)
00:00:00.001363 #4 > POST /a HTTP/1.0, 2 bytes
00:00:00.001463 #4 < not HTTP/1: not shown any more; --text and --hex show it
00:00:00.001513 #4 < aborted
"
    );
    assert_narrow(&text);
}

#[test]
fn http_says_what_it_cannot_show() {
    let text = Stage::new(TapDisplay::http(PLAIN))
        .begin(1)
        .message(1, ToTarget, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .message(1, ToClient, b"\0\0\x12")
        .end(1, ToTarget, DirectionEnd::Eof)
        .end(1, ToClient, DirectionEnd::Eof)
        .message(
            2,
            ToTarget,
            b"GET /a HTTP/1.1\r\n\r\nGET /\x1b HTTP/1.1\r\n\r\n",
        )
        .message(3, ToTarget, b"GET /a HTTP/1.1\r\n\r\n")
        .gap(3, ToClient)
        .after(20)
        .message(3, ToClient, b"HTTP/1.1 200 OK\r\n\r\n")
        .message(4, ToTarget, b"GET /a HTTP/1.1\r\n\r\n")
        .message(4, ToClient, b"HTTP/1.1 500\r\nContent-Length: 9\r\n\r\nhi")
        .after(3000)
        .end(4, ToClient, DirectionEnd::Reset)
        .message(5, ToTarget, b"GET /a HTTP/1.1\r\n\r\n")
        .after(3000)
        .end(5, ToClient, DirectionEnd::Eof)
        .finished();
    assert_eq!(text, "\
23:59:59.999999 #1 connected: pid 4242 (curl) uid 1000 (user)
23:59:59.999999 #1 > HTTP/2: not shown here; --record FILE it, and open FILE in Wireshark
23:59:59.999999 #1 < EOF, closed after 0.00us: 24 bytes to server, 3 to client
23:59:59.999999 #2 > GET /a
23:59:59.999999 #2 > not HTTP/1: not shown any more; --text and --hex show it
23:59:59.999999 #3 > GET /a
                #3 < 12 messages (34567 bytes, 2 fds) not shown
00:00:00.000019 #4 > GET /a
00:00:00.003019 #4 < 500, 2 of 9 bytes in 3.00ms (first byte 0.00us), the connection has ended: GET /a
00:00:00.003019 #4 < reset
00:00:00.003019 #5 > GET /a
00:00:00.006019 #5 < no response in 3.00ms, the connection has ended: GET /a
not shown: 12 messages (34567 bytes, 2 fds); the display was too slow
");
}

#[test]
fn a_summary_has_a_line_for_each_connection_and_a_table() {
    let client = TapClient {
        pid: Some(1_234_567),
        command: Some(b"a-long-command-".to_vec()),
        uid: Some(4_000_000_000),
        user: None,
    };
    let text = Stage::new(TapDisplay::summary(PLAIN))
        .exchange()
        .begin_of(4, Kind::Stream, client)
        .message(4, ToClient, b"hello")
        .gap(4, ToTarget)
        .after(2_000_000)
        .end(4, ToTarget, DirectionEnd::Eof)
        .end(4, ToClient, DirectionEnd::Reset)
        .finished();
    assert_eq!(
        text,
        "\
CONN       PID COMMAND         USER     TO-SERVER TO-CLIENT   ANSWER DURATION
#3        4242 curl            user            27        40   1.25ms   1.36ms
#4     1234567 a-long-command- 4000…000     34567         5        ?    2.00s

2 connections
                 COUNT     P50     P99     MAX
first answer         1  1.25ms  1.25ms  1.25ms
duration             2  1.36ms   2.00s   2.00s
bytes to server      2      27  34.6kB  34.6kB
bytes to client      2       5      40      40
not shown: 12 messages (34567 bytes, 2 fds); the display was too slow
"
    );
    assert_narrow(&text);
}

#[test]
fn begins_and_ends_that_were_missed_are_counted() {
    let mut stage = Stage::new(TapDisplay::text(PLAIN, 256));
    stage.display.finish(TapMissed {
        events: 3,
        ..TapMissed::default()
    });
    assert_eq!(
        stage.text(),
        "not shown: 0 messages (0 bytes), 3 begins and ends; the display was too slow\n"
    );
}

#[test]
fn a_summary_of_nothing_is_short() {
    let text = Stage::new(TapDisplay::summary(PLAIN)).finished();
    assert_eq!(text, "0 connections\n");
}

#[test]
fn colors_surround_what_the_tap_says_and_not_what_peers_say() {
    let style = TapStyle {
        is_colored: true,
        ..PLAIN
    };
    let text = Stage::new(TapDisplay::text(style, 256))
        .message(1, ToTarget, b"\x1b[0m")
        .text();
    assert_eq!(
        text,
        "\x1b[2m23:59:59.999999\x1b[0m \x1b[35m#1\x1b[0m \x1b[36m>\x1b[0m 4 bytes \x1b[2m+0.00us\x1b[0m: \\x1b[0m\n"
    );
}

#[test]
fn the_state_of_too_many_connections_is_dropped() {
    let mut stage = Stage::new(TapDisplay::http(PLAIN));
    for number in 1..=5000 {
        stage.begin(number).message(number, ToTarget, b"GET /");
    }
    assert_eq!(stage.display.connections.len(), super::MOST_CONNECTIONS);
    assert!(stage.text().ends_with("uid 1000 (user)\n"));
}
