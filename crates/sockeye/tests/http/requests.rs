//! Requests of HTTP/1 and HTTP/2, as clients send them: whole, in pieces, one behind the other.

use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use sockeye::http::Caller;
use sockeye::server::Server;

use crate::raw::{BOTH, Serving, Threads};

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/post",
            post(async |body: String| format!("got {}: {body}", body.len())),
        )
        .route("/unread", post(async || "not read"))
        .route("/whoami", get(whoami))
}

async fn whoami(request: Request) -> String {
    let caller = request.extensions().get::<Caller>().unwrap();
    let pid = caller.pid().unwrap().as_raw_nonzero();
    format!(
        "{:?} {:?} {pid} {:?}",
        caller.uid(),
        caller.gid(),
        caller.groups()
    )
}

#[test]
fn a_connection_serves_many_requests() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        let mut client = serving.connect();
        for _ in 0..100 {
            let response = client.get("/");
            assert_eq!((response.status(), &*response.body), ("200", "hello"));
        }
        drop(client);
        let report = serving.stop();
        assert_eq!(report.served + report.drained, 1, "{report}");
        assert_eq!(report.failed, 0, "{report}");
    }
}

const POST: &str = "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\na\n\n\r\nb";
const CHUNKED: &str = "POST /post HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
    3;x=y\r\nabc\r\n2\r\n\r\n\r\n0\r\nX: y\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn requests_are_answered_in_whatever_pieces_they_come() {
    let requests = [GET, POST, CHUNKED, "\r\n", GET, GET, CHUNKED, POST].concat();
    let answers = ["hello", "got 6: a\n\n\r\nb", "got 5: abc\r\n"];
    let expected = [0, 1, 2, 0, 0, 2, 1].map(|n: usize| answers[n]);
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        for size in [1, 2, 3, 7, 50, 60, 200, requests.len()] {
            let mut client = serving.connect();
            for piece in requests.as_bytes().chunks(size) {
                client.send(piece);
                // So that the pieces are received one by one.
                if size < 60 {
                    std::thread::yield_now();
                }
            }
            let bodies = expected.map(|_| client.response().body);
            assert_eq!(bodies, expected, "in pieces of {size}");
        }
        let report = serving.stop();
        assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
    }
}

#[test]
fn a_body_that_nobody_reads_is_no_next_request() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        let mut client = serving.connect();
        client.send(format!(
            "POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{GET}",
            GET.len()
        ));
        assert_eq!(client.response().body, "not read");
        assert_eq!(client.get("/whoami").status(), "200");
        serving.stop();
    }
}

#[test]
fn a_half_closed_client_is_answered() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        let mut client = serving.connect();
        client.send([GET, POST].concat());
        client.half_close();
        assert_eq!(client.response().body, "hello");
        assert_eq!(client.response().body, "got 6: a\n\n\r\nb");
        assert_eq!(client.rest(), b"");
        serving.stop();
    }
}

#[test]
fn the_caller_is_an_extension_of_each_request() {
    let serving = Serving::start(Threads::Two, Server::new(), router());
    let mut client = serving.connect();
    let id = |flag| {
        let out = Command::new("id").arg(flag).output().unwrap().stdout;
        String::from_utf8(out).unwrap().trim().to_owned()
    };
    let found = client.get("/whoami").body;
    let expected = format!(
        "Some({}) Some({}) {} [",
        id("-u"),
        id("-g"),
        std::process::id()
    );
    assert!(found.starts_with(&expected), "{found:?}, not {expected:?}");
    assert_eq!(client.get("/whoami").body, found);
    serving.stop();
}

#[test]
fn curl_speaks_both_versions() {
    for threads in BOTH {
        let serving = Serving::start(threads, Server::new(), router());
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let mut curl = Command::new("curl");
            let output = curl
                .args(["-sS", "--max-time", "20", version, "--unix-socket"])
                .arg(serving.path())
                .args(["-d", "some text", "http://localhost/post"])
                .output();
            let Ok(output) = output else {
                return println!("skipped: curl is not installed");
            };
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found, "got 9: some text", "{version}: {:?}", output.stderr);
        }
        let report = serving.stop();
        assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
    }
}

#[test]
fn one_connection_is_served_while_its_socket_is_polled() {
    for threads in BOTH {
        let server = Server::new().once().busy_poll(Duration::from_micros(50));
        let serving = Serving::start(threads, server, router());
        let mut client = serving.connect();
        for _ in 0..100 {
            assert_eq!(client.get("/").body, "hello");
        }
        drop(client);
        let report = serving.ended();
        assert_eq!(report.served + report.drained, 1, "{report}");
    }
}
