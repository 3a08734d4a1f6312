//! HTTP/2 by hand: prefaces in pieces, drains, and floods of frames.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, get};
use sockeye::server::Server;

use crate::raw::{BOTH, RawClient, Serving, Threads};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// `GET /` of `http://localhost`, by the static table of HPACK.
const GET: &[u8] = b"\x82\x84\x86\x41\x09localhost";

fn router() -> Router {
    let pending = get(async || std::future::pending::<()>().await);
    Router::new()
        .route("/", get(async || "hello"))
        .route("/pending", pending)
        .route("/echo", any(echo))
}

/// Extended CONNECT.
async fn echo(mut request: Request) {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async {
        let io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let (mut reader, mut writer) = tokio::io::split(io);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut writer)
            .await
            .unwrap();
    });
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn begin() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Reads frames until one of `kind`; `None` at EOF.
fn until(client: &mut RawClient, kind: u8) -> Option<Vec<u8>> {
    loop {
        let head = client.exact(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = client.exact(length as usize)?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

fn http2(serving: &Serving) -> RawClient {
    let mut client = serving.connect();
    client.send(begin());
    until(&mut client, SETTINGS).unwrap();
    client
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        let mut client = serving.connect();
        let flags = END_STREAM | END_HEADERS;
        for byte in [begin(), frame(HEADERS, flags, 1, GET)].concat() {
            client.send([byte]);
            std::thread::yield_now();
        }
        // `:status 200` of the static table.
        assert_eq!(until(&mut client, HEADERS).unwrap()[0], 0x88);
        drop(client);
        assert_eq!(serving.stop().aborted, 0);
    }
}

#[test]
fn an_idle_client_that_answers_no_ping_ends_a_second_after_a_drain_has_begun() {
    for threads in BOTH {
        let server = Server::new().drain_timeout(Duration::from_secs(60));
        let serving = Serving::start(threads, server, router());
        let mut client = http2(&serving);
        let begun = Instant::now();
        let draining = serving.drain();
        until(&mut client, GOAWAY).unwrap();
        client.rest();
        let report = draining.report();
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!((report.drained, report.aborted), (1, 0), "{report}");
    }
}

#[test]
fn a_stream_that_does_not_end_is_aborted_at_the_drain_timeout() {
    for threads in BOTH {
        let server = Server::new().drain_timeout(Duration::from_millis(1500));
        let serving = Serving::start(threads, server, router());
        let mut client = http2(&serving);
        let path = b"\x82\x44\x08/pending\x86\x41\x09localhost";
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, path));
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, GET));
        until(&mut client, HEADERS).unwrap();
        let report = serving.stop();
        assert_eq!((report.drained, report.aborted), (0, 1), "{report}");
    }
}

/// As [`http2`], with streams that the server may send two bytes on.
fn with_small_window(serving: &Serving) -> RawClient {
    let mut client = serving.connect();
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 2]);
    client.send(
        [
            PREFACE,
            &settings,
            &frame(HEADERS, END_STREAM | END_HEADERS, 1, GET),
        ]
        .concat(),
    );
    assert_eq!(until(&mut client, DATA).unwrap(), b"he");
    client
}

#[test]
fn in_a_drain_a_response_is_sent_to_its_end_or_aborted() {
    const LONGER_THAN_A_PING: Duration = Duration::from_millis(1300);
    for threads in BOTH {
        let server = Server::new().drain_timeout(Duration::from_secs(3));
        let serving = Serving::start(threads, server, router());
        let mut slow = with_small_window(&serving);
        let mut stalled = with_small_window(&serving);
        let mut half = http2(&serving);
        let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, GET);
        half.send(&request[..12]);
        let draining = serving.drain();
        for client in [&mut slow, &mut stalled] {
            let ping = until(client, PING).unwrap();
            client.send(frame(PING, ACK, 0, &ping));
            until(client, GOAWAY).unwrap();
        }
        assert!(!slow.is_answered_within(LONGER_THAN_A_PING));
        slow.send(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]));
        assert_eq!(until(&mut slow, DATA).unwrap(), b"llo");
        half.send(&request[12..]);
        assert_eq!(until(&mut half, DATA).unwrap(), b"hello");
        let report = draining.report();
        assert_eq!((report.drained, report.aborted), (2, 1), "{report}");
    }
}

#[test]
fn a_connection_is_idle_once_its_responses_are_sent() {
    const IDLE: Duration = Duration::from_millis(300);
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new().idle_timeout(IDLE), router());
        let mut slow = with_small_window(&serving);
        assert!(!slow.is_answered_within(2 * IDLE));
        slow.send(frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]));
        assert_eq!(until(&mut slow, DATA).unwrap(), b"llo");
        let mut tunnel = http2(&serving);
        let connect = b"\0\x07:method\x07CONNECT\0\x09:protocol\x01x\x86\0\x05:path\x05/echo\x41\x09localhost";
        tunnel.send(frame(HEADERS, END_HEADERS, 1, connect));
        assert_eq!(until(&mut tunnel, HEADERS).unwrap()[0], 0x88);
        assert!(!tunnel.is_answered_within(2 * IDLE));
        tunnel.send(frame(DATA, END_STREAM, 1, b"echo"));
        assert_eq!(until(&mut tunnel, DATA).unwrap(), b"echo");
        let mut half = http2(&serving);
        half.send([0, 0]);
        for mut client in [slow, tunnel, half] {
            while client.exact(1).is_some() {}
        }
        assert_eq!(serving.stop().aborted, 0);
    }
}

#[test]
fn a_client_may_have_64_requests_at_a_time() {
    let serving = Serving::start(Threads::One, Server::new(), router());
    let mut client = serving.connect();
    client.send(begin());
    let settings = until(&mut client, SETTINGS).unwrap();
    let mut settings = settings.chunks(6);
    assert!(settings.any(|setting| setting == [0, 3, 0, 0, 0, 64]));
    drop(client);
    serving.stop();
}

/// A flood that is not ended before this many frames is none for the server.
const MOST: u32 = 10_000;

/// Sends `frames` again and again until the server has had enough.
fn flood(serving: &Serving, start: &[u8], frames: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut client = UnixStream::connect(serving.path()).unwrap();
    client.write_all(&begin()).unwrap();
    client.write_all(start).unwrap();
    let mut reader = client.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let sent = (0..).find(|&round| client.write_all(&frames(round)).is_err() || round == MOST);
    drop(client);
    let _ = reader.join().unwrap();
    sent.unwrap()
}

#[test]
fn floods_of_frames_end_their_own_connection() {
    let serving = Serving::start(Threads::Two, Server::new(), router());
    let resets = flood(&serving, &[], |round| {
        let stream = 2 * round + 1;
        let flags = END_STREAM | END_HEADERS;
        let path = b"\x82\x44\x08/pending\x86\x41\x09localhost";
        let request = frame(HEADERS, flags, stream, path);
        [request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    assert!(resets < MOST, "{resets} resets");
    let field = [&b"\x00\x01x\x7f\x01"[..], &[b'y'; 128]].concat();
    let continuations = flood(&serving, &frame(HEADERS, END_STREAM, 1, GET), |_| {
        frame(CONTINUATION, 0, 1, &field)
    });
    assert!(continuations < MOST, "{continuations} continuations");
    // The others are served as before.
    let mut client = http2(&serving);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, GET));
    until(&mut client, HEADERS).unwrap();
    drop(client);
    let report = serving.stop();
    assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
}
