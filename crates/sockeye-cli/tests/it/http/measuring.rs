//! `bench --http`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::Site;
use crate::support::{Finished, Place, run, sockeye};

/// `bench --time 100ms --http ARGUMENTS`.
fn bench(arguments: &[&str]) -> Finished {
    let mut command = sockeye();
    run(command
        .args(["bench", "--time", "100ms", "--http"])
        .args(arguments))
}

/// A server that answers request after request with these, in turn, and closes where one is empty.
fn serve(place: &Place, answers: &'static [&'static [u8]]) {
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            thread::spawn(move || {
                for answer in answers.iter().cycle() {
                    let count = stream.read(&mut [0; 4096]).unwrap_or_default();
                    if count == 0 || answer.is_empty() || stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn a_server_is_measured_with_connections_that_are_kept() {
    let mut site = Site::new(&[], |_| ());
    let path = site.server.path.to_str().expect("plain").to_owned();
    let page = site.place.at("page.html");
    let html = ["--html", page.to_str().expect("plain")];
    let table = bench(&[&["GET /", "--connections", "2,4", &path] as &[&str], &html].concat());
    table.succeeds();
    let text = table.text();
    assert!(
        text.lines()
            .next()
            .is_some_and(|line| line.ends_with("ERRORS")),
        "{text}"
    );
    assert_eq!(
        text.lines().filter(|line| line.ends_with(" 0")).count(),
        2,
        "{text}"
    );
    assert!(
        fs::read_to_string(&page)
            .expect("written")
            .contains("ERRORS")
    );

    let json = bench(&["HEAD /", "--json", "--connections", "2", &path]);
    json.succeeds();
    let line = json.text().lines().next().expect("a line").to_owned();
    let found: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(found["errors"], 0);
    assert!(found["requests_per_second"].as_f64().expect("a number") > 0.0);

    let compared = bench(&["/", "--compare", &path, &path, "--connections", "2"]);
    compared.succeeds();
    assert!(compared.text().contains("A has "), "{compared:?}");
    let ending = site.server.stop();
    let requests = ending.stdout.lines().count() as u64;
    let accepted = ending.is_clean().served;
    assert!(
        requests > accepted,
        "{requests} requests on {accepted} connections"
    );
}

#[test]
fn a_status_other_than_2xx_is_an_error() {
    let place = Place::new();
    serve(
        &place,
        &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ],
    );
    let path = place.socket();
    let path = path.to_str().expect("plain");
    let found = bench(&["/", "--json", "--connections", "1", path]);
    assert_eq!(found.code, Some(0), "{found:?}");
    found.explains(&["other than 2xx", " times 503"]);
    let line = found.text().lines().next().expect("a line").to_owned();
    let found: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert!(found["errors"].as_u64().expect("a number") > 0, "{found}");

    let site = Site::new(&[], |_| ());
    let path = site.server.path.to_str().expect("plain");
    bench(&["/none", path]).fails(1, &["no answer had the status 2xx", "404"]);
}

#[test]
fn a_server_that_closes_after_each_answer_is_measured() {
    const CLOSES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"",
    ];
    const JUST_CLOSES: &[&[u8]] = &[b"HTTP/1.1 204 No Content\r\n\r\n", b""];
    for answers in [CLOSES, JUST_CLOSES] {
        let place = Place::new();
        serve(&place, answers);
        let path = place.socket();
        let found = bench(&["/", "--connections", "2", path.to_str().expect("plain")]);
        assert_eq!(found.code, Some(0), "{found:?}");
        assert!(
            found.stderr.contains("connections after an answer"),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_not_http_is_named() {
    let place = Place::new();
    serve(&place, &[b"hello, this is an echo server of lines\n"]);
    let path = place.socket();
    bench(&["/", path.to_str().expect("plain")]).fails(1, &["not HTTP/1"]);
}
