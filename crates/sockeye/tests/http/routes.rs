//! The routes of the servers under test.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use sockeye::http::Caller;
use tokio::sync::watch;

use crate::raw::{RawClient, Serving};

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
pub(crate) const UPGRADE: &str =
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n";
/// Longer than any test runs.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// The routes, and a sender that lets the requests of `/wait` go on.
pub(crate) fn router() -> (Router, watch::Sender<bool>) {
    let (go, wait) = watch::channel(false);
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/post", post(async |body: String| body))
        .route("/events", get(events))
        .route("/events-until-shutdown", get(events_until_shutdown))
        .route("/echo", get(upgrade))
        .route("/wait", get(waiting))
        .with_state(wait);
    (router, go)
}

async fn waiting(State(mut go): State<watch::Receiver<bool>>) -> &'static str {
    go.wait_for(|go| *go).await.unwrap();
    "waited"
}

/// One event at once, and no other.
async fn events() -> Response {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from("data: first\n\n"))]);
    Response::new(Body::from_stream(first.chain(stream::pending())))
}

/// As [`events`], until the server drains.
async fn events_until_shutdown(caller: Caller) -> Response {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from("data: first\n\n"))]);
    let drain = caller.shutdown_token().cancelled_owned();
    let events = first.chain(stream::pending()).take_until(drain);
    Response::new(Body::from_stream(events))
}

async fn upgrade(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let (mut reader, mut writer) = tokio::io::split(&mut io);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    });
    let switch = Response::builder().status(101).header("upgrade", "tcp");
    switch.body(Body::empty()).unwrap()
}

pub(crate) fn upgraded(serving: &Serving) -> RawClient {
    let mut client = serving.connect();
    client.send([UPGRADE, "early\n"].concat());
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.line(), "early\n");
    client
}
