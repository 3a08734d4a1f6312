//! Limits and timeouts of a server, as clients of HTTP meet them.

use std::io::Error;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use futures_util::stream;
use sockeye::server::Server;

use crate::raw::{BOTH, RawClient, Serving, Threads};
use crate::routes::{self, GET, UPGRADE};
use crate::support::PATIENCE;

const LIMIT: Duration = Duration::from_millis(200);

fn router() -> Router {
    let (router, _go) = routes::router();
    router
        .route("/broken", get(broken))
        .route("/panic", get(async || -> () { panic!("a handler's") }))
}

async fn broken() -> Response {
    let error = Err::<String, _>(Error::other("the service's own"));
    Response::new(Body::from_stream(stream::iter([Ok("begun".into()), error])))
}

#[test]
fn a_head_has_to_be_complete_in_time_and_the_next_one_may_come_late() {
    for threads in BOTH {
        let server = Server::new().first_byte_timeout(LIMIT);
        let serving = Serving::start(threads, server, router());
        let mut late = serving.connect();
        assert_eq!(late.get("/").status(), "200");
        let half = "GET / HTTP/1.1\r\nX: ";
        // With what comes behind, byte by byte: that is no faster.
        let cases = [
            ("", "", None),
            ("", half, Some("x")),
            (GET, half, Some("x")),
            ("", "\r\n", Some("\r\n")),
            (GET, "\r\n", Some("\r\n")),
            ("", "PRI * HTTP/2.0\r\n", None),
        ];
        for (before, begun, behind) in cases {
            let start = Instant::now();
            let mut client = serving.connect();
            client.send([before, begun].concat());
            if !before.is_empty() {
                assert_eq!(client.response().status(), "200");
            }
            while behind.is_some_and(|behind| client.try_send(behind).is_ok()) {
                assert!(start.elapsed() < PATIENCE, "{begun:?} after {before:?}");
                std::thread::sleep(LIMIT / 20);
            }
            client.rest();
            assert!(start.elapsed() >= LIMIT, "{begun:?} after {before:?}");
        }
        assert_eq!(late.get("/").status(), "200");
        let report = serving.stop();
        assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
    }
}

#[test]
fn an_idle_connection_ends_at_the_idle_timeout() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new().idle_timeout(LIMIT), router());
        let mut client = serving.connect();
        assert_eq!(client.get("/").status(), "200");
        let mut upload = serving.connect();
        upload.send("POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
        let start = Instant::now();
        assert_eq!(client.rest(), b"");
        upload.rest();
        assert!(start.elapsed() >= LIMIT / 2);
        let report = serving.stop();
        assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
    }
}

#[test]
fn a_head_of_any_size_is_refused() {
    let serving = Serving::start(Threads::Two, Server::new(), router());
    let field = |size| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(size)
        )
    };
    let mut client = serving.connect();
    client.send(field(15 << 10));
    assert_eq!(client.response().status(), "200");
    for size in [17 << 10, 1 << 20] {
        let mut client = serving.connect();
        // The end of it may fail.
        let _ = client.try_send(field(size));
        assert!(client.rest().starts_with(b"HTTP/1.1 431 "));
    }
    let report = serving.stop();
    assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
}

/// An upgraded connection, as soon as there is a permit for it.
fn permitted(serving: &Serving) -> RawClient {
    let start = Instant::now();
    loop {
        let mut client = serving.connect();
        if client.try_send(UPGRADE).is_ok() && client.is_answered_within(PATIENCE) {
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            return client;
        }
        assert!(start.elapsed() < PATIENCE, "the permits are not given back");
    }
}

#[test]
fn an_upgraded_connection_keeps_its_permit_until_it_ends() {
    for threads in BOTH {
        for server in [
            Server::new().max_connections(2),
            Server::new().max_per_uid(2),
        ] {
            let serving = Serving::start(threads, server, router());
            for _ in 0..20 {
                let both = (permitted(&serving), permitted(&serving));
                let mut third = serving.connect();
                let is_sent = third.try_send(GET).is_ok();
                assert!(!is_sent || !third.is_answered_within(LIMIT / 20));
                drop((third, both));
            }
            serving.stop();
        }
    }
}

#[test]
fn what_fails_is_counted_where_it_is_ours() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        let mut broken = serving.connect();
        broken.send("GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n");
        broken.rest();
        let mut panicking = serving.connect();
        panicking.send("GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(panicking.rest(), b"");
        let mut cut = serving.connect();
        cut.send(
            "POST /post HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        );
        cut.half_close();
        cut.rest();
        let mut wrong = serving.connect();
        wrong.send("\x16\x03\x01 TLS?\r\n\r\n");
        assert!(wrong.rest().starts_with(b"HTTP/1.1 400 "));
        assert_eq!(serving.connect().get("/").body, "hello");
        let report = serving.stop();
        assert_eq!((report.failed, report.aborted), (1, 1), "{report}");
    }
}
