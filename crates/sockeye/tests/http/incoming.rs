//! `http::Incoming` under `axum::serve`: what comes with its connections, and what ends it.

use std::convert::Infallible;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::stream;
use sockeye::http::{Allow, Caller, Incoming};
use sockeye::server::Server;
use sockeye::{Address, Claim, Listener};

use crate::raw::{BOTH, By, Serving, Threads, everywhere};
use crate::routes::{GET, LONG, SHORT, router, upgraded};

#[test]
fn the_caller_arrives_at_extractors_and_layers() {
    let whoami = |caller: Caller| async move { caller.uid().unwrap().to_string() };
    let router = Router::new()
        .route("/whoami", get(whoami))
        .route_layer(Allow::new().same_user())
        .merge(
            Router::new()
                .route("/admin", get("secret"))
                .route_layer(Allow::new().groups([4242])),
        );
    for (by, threads) in everywhere() {
        let serving = Serving::start_by(by, threads, Server::new(), router.clone());
        let mut client = serving.connect();
        let uid = rustix::process::geteuid().as_raw().to_string();
        assert_eq!(client.get("/whoami").body, uid);
        let refused = client.get("/admin");
        assert_eq!(refused.status(), "403");
        assert!(refused.body.contains("allowed is group 4242; you are uid "));
        serving.stop();
    }
}

/// A route that blocks the thread of the server: it says when, and until when.
fn blocking() -> (Router, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (blocks, is_blocked) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let ends = Arc::new(Mutex::new((blocks, wait)));
    let block = move || {
        let ends = Arc::clone(&ends);
        async move {
            let ends = ends.lock().unwrap();
            ends.0.send(()).unwrap();
            ends.1.recv().unwrap();
            "went on"
        }
    };
    (Router::new().route("/block", get(block)), is_blocked, go)
}

#[test]
fn a_backlog_is_answered_while_the_idle_end_and_the_stuck_are_aborted() {
    for by in [By::Serve, By::Axum] {
        let (router, _) = router();
        let (block, is_blocked, go) = blocking();
        let server = Server::new().drain_timeout(Duration::from_secs(2));
        let serving = Serving::start_by(by, Threads::One, server, router.merge(block));
        let mut idle = serving.connect();
        assert_eq!(idle.get("/").body, "hello");
        let mut events = serving.connect();
        events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        events.head();
        let mut half = serving.connect();
        half.send("GET / HTTP/1.1\r\nHost: loc");
        let mut blocked = serving.connect();
        blocked.send("GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n");
        is_blocked.recv().unwrap();
        let mut backlog: Vec<_> = (0..100).map(|_| serving.connect()).collect();
        for client in &mut backlog {
            client.send(GET);
        }
        let begun = Instant::now();
        let draining = serving.tell();
        go.send(()).unwrap();
        assert_eq!(blocked.response().body, "went on");
        for client in &mut backlog {
            assert_eq!(client.response().body, "hello", "{by:?}");
            assert_eq!(client.rest(), b"");
        }
        assert_eq!(idle.rest(), b"");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{by:?}: {took:?}");
        let report = draining.report();
        assert!(begun.elapsed() >= Duration::from_secs(2));
        assert_eq!(
            (report.drained, report.aborted),
            (102, 2),
            "{by:?}: {report}"
        );
        events.rest();
        half.rest();
    }
}

#[test]
fn half_a_header_ends_at_the_header_timeout_and_an_idle_connection_does_not() {
    for (by, threads) in everywhere() {
        let (router, _) = router();
        let server = Server::new().first_byte_timeout(SHORT);
        let serving = Serving::start_by(by, threads, server, router);
        let mut idle = serving.connect();
        assert_eq!(idle.get("/").body, "hello");
        let begun = Instant::now();
        let mut half = serving.connect();
        half.send("GET / HTTP/1.1\r\nHost: loc");
        // hyper may say 408.
        half.rest();
        assert!(begun.elapsed() >= SHORT);
        assert_eq!(idle.get("/").body, "hello");
        serving.stop();
    }
}

#[test]
fn empty_lines_do_not_put_off_the_header_timeout() {
    for threads in BOTH {
        let (router, _) = router();
        let server = Server::new().first_byte_timeout(SHORT);
        let serving = Serving::start_by(By::Axum, threads, server, router);
        let mut new = serving.connect();
        let mut idle = serving.connect();
        assert_eq!(idle.get("/").body, "hello");
        for client in [&mut new, &mut idle] {
            client.send("\r\n");
            client.rest();
        }
        serving.stop();
    }
}

#[test]
fn the_idle_timeout_ends_idle_connections_and_no_request_that_takes_longer() {
    for (by, threads) in everywhere() {
        let slow = || async {
            tokio::time::sleep(3 * SHORT).await;
            "slow"
        };
        let router = Router::new().route("/", get(slow));
        let server = Server::new().idle_timeout(SHORT);
        let serving = Serving::start_by(by, threads, server, router);
        let mut client = serving.connect();
        assert_eq!(client.get("/").body, "slow", "{by:?}");
        let begun = Instant::now();
        assert_eq!(client.rest(), b"");
        assert!(begun.elapsed() >= SHORT / 2, "{by:?}");
        let report = serving.stop();
        let ended = report.served + report.drained;
        assert_eq!((ended, report.aborted), (1, 0), "{report}");
    }
}

#[test]
fn an_upgraded_connection_keeps_its_permit_and_gives_it_back() {
    for (by, threads) in everywhere() {
        let (router, _) = router();
        let server = Server::new().max_connections(1).drain_timeout(LONG);
        let serving = Serving::start_by(by, threads, server, router);
        let mut first = upgraded(&serving);
        let mut second = serving.connect();
        second.send(GET);
        first.send("still here\n");
        assert_eq!(first.line(), "still here\n");
        drop(first);
        assert_eq!(second.response().body, "hello");
        drop(second);
        let report = serving.stop();
        assert_eq!((report.served + report.drained, report.aborted), (2, 0));
    }
}

#[test]
fn dropping_it_begins_a_drain() {
    for threads in BOTH {
        threads.runtime().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let address = Address::from_path(dir.path().join("s")).unwrap();
            let listener = Listener::open(&address, &Claim::options()).unwrap();
            let incoming = Incoming::new(Server::new(), listener, std::future::pending());
            let (ended, report) = (incoming.ended(), incoming.report());
            let mut client = UnixStream::connect(dir.path().join("s")).unwrap();
            drop(incoming);
            let report = crate::support::within(report).await.unwrap();
            ended.await;
            assert_eq!((report.drained, report.aborted), (0, 1), "{report}");
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            assert!(!dir.path().join("s").exists());
        });
    }
}

/// Responses of every kind.
fn kinds() -> Router {
    let pieces = || (0..100).map(|at| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1000 * at])));
    Router::new()
        .route("/", get("hello").post(|body: String| async { body }))
        .route("/ignored", post(""))
        .route("/last", get("the last one"))
        .route("/empty", get(StatusCode::NO_CONTENT))
        .route("/same", get(StatusCode::NOT_MODIFIED))
        .route("/large", get("y".repeat(3 << 20)))
        .route(
            "/pieces",
            get(move || async move { Body::from_stream(stream::iter(pieces())) }),
        )
}

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "HEAD / HTTP/1.1\r\n\r\n",
    "HEAD /pieces HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /none HTTP/1.1\r\n\r\n",
    "GET /empty HTTP/1.1\r\n\r\n",
    "GET /same HTTP/1.1\r\n\r\n",
    "GET /large HTTP/1.1\r\n\r\n",
    "GET /pieces HTTP/1.1\r\n\r\n",
    "DELETE / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\ncontent-length:   5 \r\n\r\nhello",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "POST /ignored HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "OPTIONS * HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
];

#[test]
fn a_connection_is_idle_after_an_exchange_of_any_kind() {
    for (by, threads) in everywhere() {
        let server = Server::new().drain_timeout(LONG);
        let serving = Serving::start_by(by, threads, server, kinds());
        // The first one of a client is of one kind, and the second one shows that the first is over.
        let mut clients: Vec<_> = REQUESTS.iter().map(|_| serving.connect()).collect();
        for (client, request) in clients.iter_mut().zip(REQUESTS) {
            client.send(request.replacen("\r\n", "\r\nHost: localhost\r\n", 1));
            client.send("GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.until("the last one");
        }
        let begun = Instant::now();
        let draining = serving.drain();
        for (client, request) in clients.iter_mut().zip(REQUESTS) {
            assert_eq!(client.rest(), b"", "{by:?}: {request}");
        }
        let report = draining.report();
        assert_eq!((report.aborted, report.failed), (0, 0), "{by:?}: {report}");
        assert!(begun.elapsed() < LONG / 2);
    }
}
