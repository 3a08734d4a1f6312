//! A drain: what has begun is finished, what has been sent is answered, and what does not end is aborted.

use std::time::Instant;

use sockeye::server::Server;

use crate::raw::{By, Serving, everywhere};
use crate::routes::{GET, LONG, SHORT, router, upgraded};

#[test]
fn what_does_not_end_is_aborted_at_the_drain_timeout_and_nothing_else() {
    for (by, threads) in everywhere() {
        let (router, _go) = router();
        let server = Server::new().drain_timeout(SHORT);
        let serving = Serving::start_by(by, threads, server, router);
        let mut idle = serving.connect();
        assert_eq!(idle.get("/").status(), "200");
        let mut events = serving.connect();
        events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        events.head();
        assert_eq!(
            (events.line(), events.line()),
            ("D\r\n".into(), "data: first\n".into())
        );
        let mut upgraded = upgraded(&serving);
        let mut half = serving.connect();
        half.send("GET / HTTP/1.1\r\nHost: loc");
        let mut preface = serving.connect();
        preface.send("PRI * HTTP/2.0\r\n");
        let begun = Instant::now();
        let draining = serving.drain();
        assert_eq!(idle.rest(), b"");
        assert!(!draining.has_ended());
        upgraded.send("late\n");
        assert_eq!(upgraded.line(), "late\n");
        let report = draining.report();
        assert!(begun.elapsed() >= SHORT);
        assert_eq!((report.drained, report.aborted), (1, 4), "{report}");
        for mut client in [events, upgraded, half, preface] {
            client.rest();
        }
    }
}

#[test]
fn an_event_stream_that_ends_at_the_shutdown_token_is_drained() {
    for (by, threads) in everywhere() {
        let (router, _go) = router();
        let server = Server::new().drain_timeout(LONG);
        let serving = Serving::start_by(by, threads, server, router);
        let mut events = serving.connect();
        events.send("GET /events-until-shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n");
        events.head();
        assert_eq!(events.line(), "D\r\n");
        let report = serving.drain().report();
        assert_eq!((report.drained, report.aborted), (1, 0), "{report}");
        assert_eq!(events.rest(), b"data: first\n\n\r\n0\r\n\r\n");
    }
}

#[test]
fn requests_on_their_way_are_answered() {
    const CLIENTS: usize = 200;
    for round in 0..10 {
        for (by, threads) in everywhere() {
            let (router, _go) = router();
            let server = Server::new().drain_timeout(LONG);
            let serving = Serving::start_by(by, threads, server, router);
            // Half of them are new, the others between two requests.
            let mut clients: Vec<_> = (0..CLIENTS).map(|_| serving.connect()).collect();
            for client in clients.iter_mut().step_by(2) {
                assert_eq!(client.get("/").body, "hello");
            }
            let sender = std::thread::spawn(move || {
                let mut sent = Vec::new();
                for mut client in clients {
                    if client.try_send(GET).is_ok() {
                        sent.push(client);
                    }
                }
                sent
            });
            let draining = serving.drain();
            let sent = sender.join().unwrap();
            for mut client in sent {
                assert_eq!(client.response().body, "hello", "round {round}");
                assert_eq!(client.rest(), b"");
            }
            let report = draining.report();
            assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
        }
    }
}

#[test]
fn a_request_in_flight_is_answered_and_told_that_it_is_the_last() {
    for (by, threads) in everywhere() {
        let (router, go) = router();
        let serving = Serving::start_by(by, threads, Server::new().drain_timeout(LONG), router);
        let mut client = serving.connect();
        assert_eq!(client.get("/").header("connection"), None);
        client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut pipelining = serving.connect();
        pipelining.send(["GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n", GET, GET].concat());
        let draining = serving.drain();
        // From now on the client can send nothing that would not be answered.
        client.wait_until_nothing_can_be_sent();
        go.send(true).unwrap();
        let response = client.response();
        assert_eq!(response.body, "waited");
        // hyper alone does not know it for sure.
        let close = (by == By::Serve).then_some("close");
        assert_eq!(response.header("connection"), close);
        client.rest();
        let bodies = [(); 3].map(|()| pipelining.response().body);
        assert_eq!(bodies, ["waited", "hello", "hello"]);
        let report = draining.report();
        assert_eq!((report.drained, report.aborted), (2, 0), "{report}");
    }
}

#[test]
fn an_upload_is_received_to_its_end() {
    for (by, threads) in everywhere() {
        let (router, _go) = router();
        let serving = Serving::start_by(by, threads, Server::new().drain_timeout(LONG), router);
        let mut sized = serving.connect();
        sized.send("POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234");
        let mut chunked = serving.connect();
        chunked.send("POST /post HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n");
        let mut expecting = serving.connect();
        expecting.send("POST /post HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert!(expecting.head().starts_with("HTTP/1.1 100 "));
        let mut idle = serving.connect();
        assert_eq!(idle.get("/").status(), "200");
        let draining = serving.drain();
        assert_eq!(idle.rest(), b"");
        sized.send("56789");
        chunked.send("5\r\n56789\r\n0\r\n\r\n");
        expecting.send("01234");
        assert_eq!(sized.response().body, "0123456789");
        assert_eq!(chunked.response().body, "0123456789");
        assert_eq!(expecting.response().body, "01234");
        let report = draining.report();
        assert_eq!((report.drained, report.aborted), (4, 0), "{report}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    for (by, threads) in everywhere() {
        let (router, _go) = router();
        let serving = Serving::start_by(by, threads, Server::new().drain_timeout(LONG), router);
        for path in ["/wait", "/events"] {
            let mut client = serving.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            if path == "/events" {
                client.head();
            }
        }
        // It would wait for a minute otherwise.
        let report = serving.stop();
        assert_eq!((report.aborted, report.failed), (0, 0), "{report}");
    }
}

#[test]
fn half_a_request_behind_another_is_aborted() {
    for (by, threads) in everywhere() {
        let (router, _go) = router();
        let serving = Serving::start_by(by, threads, Server::new().drain_timeout(SHORT), router);
        let mut client = serving.connect();
        client.send(
            [
                GET,
                GET,
                "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Le",
            ]
            .concat(),
        );
        assert_eq!([(); 2].map(|()| client.response().body), ["hello", "hello"]);
        let mut goes_on = serving.connect();
        goes_on.send([GET, "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Le"].concat());
        assert_eq!(goes_on.response().body, "hello");
        let draining = serving.drain();
        goes_on.send("ngth: 2\r\n\r\nab");
        assert_eq!(goes_on.response().body, "ab");
        let report = draining.report();
        assert_eq!((report.drained, report.aborted), (1, 1), "{report}");
    }
}
