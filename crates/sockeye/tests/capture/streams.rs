//! Streams, as tshark sees them.

use sockeye::Kind;
use sockeye::capture::RecorderOptions;
use sockeye::relay::DirectionEnd;

use crate::support::{Session, TO_CLIENT, TO_TARGET, fields, run};

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
    let wrong = "tcp.analysis.flags || _ws.malformed || ip.checksum.status == 0";
    let checked = ["-o", "ip.check_checksum:TRUE", "-r", file.to_str().unwrap()];
    let checked = run("tshark", checked.into_iter().chain(["-Y", wrong])).unwrap();
    assert_eq!(checked, "");
}

#[test]
fn tshark_follows_a_stream_to_the_last_byte() {
    let mut session = Session::new();
    let large: Vec<u8> = (0..300_000_u32).map(|n| (n * 7) as u8).collect();
    session.exchange(1, &[(TO_TARGET, b"other")]);
    let pieces = large.chunks(65_536).map(|piece| (TO_TARGET, piece));
    let pieces: Vec<_> = pieces.chain([(TO_CLIENT, &b"done\0"[..])]).collect();
    session.exchange(2, &pieces);
    let file = session.file();
    let arguments = ["-r", file.to_str().unwrap(), "-q", "-z", "follow,tcp,raw,1"];
    let Some(followed) = run("tshark", arguments) else {
        return;
    };
    let is_hex = |line: &&str| !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
    let lines = followed.lines().filter(|line| is_hex(&line.trim()));
    let (answers, sent): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with('\t'));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(sent.concat() == hex(&large), "other bytes");
    assert_eq!(answers, [format!("\t{}", hex(b"done\0"))]);
}

#[test]
fn tshark_finds_nothing_wrong_with_a_stream_in_one_direction() {
    // On port 80 tshark would look for the end of an HTTP header in all of it, for minutes.
    let mut session = Session::with(&RecorderOptions::new("/run/app.sock").port(9));
    session.begin(1, Kind::Stream);
    let piece = bytes::Bytes::from(vec![b'x'; 65_536]);
    for _ in 0..1000 {
        session.piece(1, TO_CLIENT, piece.clone());
        session.piece(1, TO_CLIENT, &b"short"[..]);
    }
    session.end(1, TO_CLIENT, DirectionEnd::Eof);
    // It was closed in good order, and the other one was not.
    session.end(1, TO_TARGET, DirectionEnd::ReaderGone);
    session.begin(2, Kind::Stream);
    session.piece(2, TO_TARGET, &b"short"[..]);
    session.end(2, TO_TARGET, DirectionEnd::ReaderGone);
    session.end(2, TO_CLIENT, DirectionEnd::Reset);
    let file = session.file();
    let Some(wrong) = fields(&file, "tcp.analysis.flags", &["frame.number"]) else {
        return;
    };
    assert_eq!(wrong, Vec::<String>::new());
    let resets = fields(&file, "tcp.flags.reset == 1", &["tcp.stream", "ip.src"]);
    assert_eq!(resets, Some(vec!["1\t127.0.0.1".to_owned()]));
}

#[test]
fn tshark_dissects_http_2() {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    };
    let settings = frame(4, 0, 0, &[]);
    // GET / of http://a, by the static table of HPACK.
    let request = frame(1, 5, 1, &[0x82, 0x84, 0x86, 0x41, 1, b'a']);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let sent = [&preface[..], &settings, &request].concat();
    let answer = [settings, frame(1, 4, 1, &[0x88]), frame(0, 1, 1, b"ok")].concat();
    let mut session = Session::new();
    session.exchange(1, &[(TO_TARGET, &sent), (TO_CLIENT, &answer)]);
    let names = ["http2.headers.path", "http2.headers.status"];
    let Some(found) = fields(&session.file(), "http2.headers", &names) else {
        return;
    };
    assert_eq!(found, ["/\t", "\t200"]);
}

#[test]
fn the_first_block_tells_who_has_connected() {
    let mut session = Session::new();
    session.exchange(1, &[(TO_TARGET, b"hello")]);
    let file = session.file();
    let Some(comments) = fields(&file, "frame.comment", &["frame.number", "frame.comment"]) else {
        return;
    };
    assert_eq!(comments, ["1\tclient: not known"]);
    let names = fields(&file, "frame.number == 1", &["frame.interface_name"]);
    assert_eq!(names, Some(vec!["/run/app.sock".to_owned()]));
}

#[test]
fn tshark_sees_no_full_window_before_the_first_answer() {
    for sizes in [
        &[65_535][..],
        &[65_534, 1],
        &[1, 65_534],
        &[32_767, 32_768, 65_535],
    ] {
        let mut session = Session::with(&RecorderOptions::new("/run/app.sock").port(9));
        session.begin(1, Kind::Stream);
        for &size in sizes {
            session.piece(1, TO_TARGET, vec![b'x'; size]);
        }
        session.piece(1, TO_CLIENT, &b"short"[..]);
        session.end(1, TO_TARGET, DirectionEnd::Eof);
        session.end(1, TO_CLIENT, DirectionEnd::Eof);
        let file = session.file();
        let Some(wrong) = fields(&file, "tcp.analysis.flags", &["frame.number"]) else {
            return;
        };
        assert_eq!(wrong, Vec::<String>::new(), "{sizes:?}");
    }
}
