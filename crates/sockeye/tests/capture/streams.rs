//! Streams, as tshark sees them.

use crate::support::{Session, TO_CLIENT, TO_TARGET, fields};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn tshark_dissects_http_and_finds_nothing_wrong() {
    let mut session = Session::new();
    for connection in 1..=5 {
        let pairs = [(TO_TARGET, REQUEST), (TO_CLIENT, ANSWER)].repeat(3);
        session.exchange(connection, &pairs);
    }
    let file = session.file();
    let Some(times) = fields(&file, "http.response", &["http.time", "tcp.stream"]) else {
        return;
    };
    let expected: Vec<String> = (0..15).map(|n| format!("0.001000000\t{}", n / 3)).collect();
    assert_eq!(times, expected);
    let wrong = fields(
        &file,
        "tcp.analysis.flags",
        &["frame.number", "_ws.col.Info"],
    );
    assert_eq!(wrong, Some(Vec::new()));
}
