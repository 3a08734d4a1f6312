//! `sockeye bench`: every kind, true numbers, clear failures, and nothing left behind. How fast
//! anything is, is not judged here.

mod ending;
mod page;
mod question;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Finished, Place, Server, run, sockeye, stale_socket};

/// Long enough for a few messages.
const SHORT: &str = "30ms";

fn bench(options: &[&str]) -> Command {
    let mut command = sockeye();
    command.args(["bench", "--time", SHORT]).args(options);
    command
}

#[track_caller]
fn objects(finished: &Finished) -> Vec<Value> {
    parsed(finished.succeeds())
}

#[track_caller]
fn parsed(finished: &Finished) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("a JSON object a line");
    finished.text().lines().map(parse).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[track_caller]
fn number(object: &Value, name: &str) -> f64 {
    object[name].as_f64().expect("a number")
}

/// ResultSender `answer(bytes, how many reads came before)` to each read, a thread for each connection;
/// `None` closes it.
fn serve<S: Read + Write + Send + 'static>(
    clients: impl Iterator<Item = std::io::Result<S>> + Send + 'static,
    answer: impl Fn(&[u8], usize) -> Option<Vec<u8>> + Send + Sync + 'static,
) {
    let (answer, reads) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    thread::spawn(move || {
        for client in clients {
            let mut client = client.expect("a client");
            let (answer, reads) = (Arc::clone(&answer), Arc::clone(&reads));
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    let before = reads.fetch_add(1, Ordering::Relaxed);
                    match answer(&buffer[..count], before) {
                        Some(bytes) if client.write_all(&bytes).is_ok() => {}
                        _ => break,
                    }
                }
            });
        }
    });
}

fn serve_unix(
    path: &Path,
    answer: impl Fn(&[u8], usize) -> Option<Vec<u8>> + Send + Sync + 'static,
) {
    let listener: &'static UnixListener =
        Box::leak(Box::new(UnixListener::bind(path).expect("a fresh path")));
    serve(listener.incoming(), answer);
}

/// ResultSender the first message of each connection, and closes it.
fn serve_once_each(path: &Path, answer: fn(&[u8]) -> Vec<u8>) {
    let listener = UnixListener::bind(path).expect("a fresh path");
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut buffer = [0; 64];
            let count = client.read(&mut buffer).expect("a request");
            // The client may have been at its end.
            let _ = client.write_all(&answer(&buffer[..count]));
        }
    });
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn each_kind_size_and_number_of_connections_is_measured() {
    let place = Place::new();
    // More connections than max_dgram_qlen lets wait: that is waiting, not an error.
    let found = run(
        bench(&["--json", "--connections", "1,40", "--size", "1,64KiB"]).env("TMPDIR", place.dir()),
    );
    let found = objects(&found);
    for kind in ["stream", "seqpacket", "datagram", "tcp"] {
        let of_kind = || found.iter().filter(|object| object["kind"] == kind);
        for (size, connections) in [(1, 1), (1, 40), (65536, 1), (65536, 40)] {
            let mut cells = of_kind()
                .filter(|object| object["size"] == size && object["connections"] == connections);
            let cell = cells.next().expect("a result for each");
            assert!(cells.next().is_none(), "only one");
            assert_eq!(
                keys(cell),
                [
                    "bytes_per_second",
                    "connections",
                    "kind",
                    "latency_us",
                    "requests_per_second",
                    "size"
                ]
            );
            let rate = number(cell, "requests_per_second");
            let bytes = number(cell, "bytes_per_second");
            assert!(rate > 0.0, "{cell}");
            assert!(
                (bytes / rate / f64::from(size) - 1.0).abs() < 0.01,
                "{cell}"
            );
            let latency =
                ["p50", "p90", "p99", "p99_9", "max"].map(|name| number(&cell["latency_us"], name));
            assert_eq!(keys(&cell["latency_us"]).len(), latency.len());
            assert!(latency[0] > 0.0 && latency.is_sorted(), "{cell}");
        }
        let mut opened = of_kind().filter(|object| object.get("size").is_none());
        let opened = opened.next().expect("connections a second");
        assert_eq!(keys(opened), ["connections_per_second", "kind"]);
        assert!(number(opened, "connections_per_second") > 0.0);
    }
    assert_eq!(found.len(), 4 * 5);
    assert_eq!(place.names().len(), 0, "nothing is left");
}

#[test]
fn the_table_fits_a_terminal() {
    let found = run(&mut bench(&["--kind", "seqpacket", "--size", "1KiB"]));
    let text = found.succeeds().text();
    assert!(text.starts_with("KIND "), "{text}");
    assert_eq!(text.matches("seqpacket").count(), 4, "{text}");
    assert!(text.contains("CONNECTIONS/S"), "{text}");
    assert!(text.lines().all(|line| line.len() < 80), "{text}");
}

#[test]
fn a_server_of_the_users_own_is_measured() {
    let place = Place::new();
    for kind in ["", "seqpacket:", "dgram:"] {
        let address = format!("{kind}{}", text(&place.socket()));
        let mut server =
            Server::started_by(Server::command(&["--echo"]).arg(&address), place.socket());
        let options = ["--json", "--size", "64", "--connections", "12", &address];
        let found = objects(&run(&mut bench(&options)));
        assert_eq!(found.len(), 2, "{found:?}");
        let name = match kind {
            "" => "stream",
            "dgram:" => "datagram",
            _ => "seqpacket",
        };
        assert!(
            found.iter().all(|object| object["kind"] == name),
            "{found:?}"
        );
        server.stop().is_clean();
    }
}

#[test]
fn tcp_and_messages_in_pieces_are_measured() {
    let listener: &'static TcpListener =
        Box::leak(Box::new(TcpListener::bind("127.0.0.1:0").expect("a port")));
    let port = listener.local_addr().expect("bound").port();
    let address = format!("tcp:localhost:{port}");
    serve(listener.incoming(), |bytes, _| Some(bytes.to_vec()));
    let found = run(&mut bench(&[
        "--json",
        "--busy-poll",
        "50us",
        "--connections",
        "1,3",
        &address,
    ]));
    let found = objects(&found);
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(found.iter().all(|object| object["kind"] == "tcp"));
}

#[test]
fn a_server_that_closes_after_each_answer_is_measured() {
    let place = Place::new();
    serve_once_each(&place.socket(), <[u8]>::to_vec);
    let found = run(&mut bench(&[
        "--size",
        "64",
        "--connections",
        "2",
        text(&place.socket()),
    ]));
    assert_eq!(found.code, Some(0), "{found:#?}");
    found.explains(&["closed", "opened again"]);
}

#[test]
fn two_servers_are_measured_in_turn() {
    let place = Place::new();
    let (fast, slow) = (place.at("fast"), place.at("slow"));
    serve_unix(&fast, |bytes, _| Some(bytes.to_vec()));
    serve_unix(&slow, |bytes, _| {
        thread::sleep(Duration::from_millis(5));
        Some(bytes.to_vec())
    });
    let compare = |options: &[&str], a: &Path, b: &Path| {
        let load = ["--connections", "1", "--compare", text(a), text(b)];
        run(bench(options).args(load))
    };
    let found = objects(&compare(&["--json"], &slow, &fast));
    assert_eq!(found.len(), 1);
    assert_eq!(keys(&found[0]), ["ratio", "ratio_high", "ratio_low"]);
    let [low, ratio, high] =
        ["ratio_low", "ratio", "ratio_high"].map(|name| number(&found[0], name));
    assert!(0.0 < low && low <= ratio && ratio <= high, "{found:?}");
    assert!(ratio < 1.0, "the first is the slow one: {found:?}");
    let table = compare(&[], &fast, &slow);
    let table = table.succeeds().text();
    for words in ["SERVER", "fast", "slow", "times the requests a second"] {
        assert!(table.contains(words), "{table}");
    }
}

#[test]
fn a_stall_is_felt_by_all_requests_that_were_due_meanwhile() {
    let place = Place::new();
    serve_unix(&place.socket(), |bytes, before| {
        // After the warm-up, and once.
        if before == 400 {
            thread::sleep(Duration::from_millis(400));
        }
        Some(bytes.to_vec())
    });
    let found = run(sockeye()
        .args(["bench", "--json", "--rate", "1000", "--time", "1s"])
        .args(["--size", "64", "--connections", "1", text(&place.socket())]));
    // 400 of 1000 were due while it stalled, and a hundred of them waited for more than 300 ms.
    assert_eq!(found.code, Some(0), "{found:#?}");
    // Not `objects`: a machine that is busy with others may report requests that came too late.
    let latency = &parsed(&found)[0]["latency_us"];
    assert!(number(latency, "p90") > 250_000.0, "{latency}");
    assert!(number(latency, "max") >= 400_000.0, "{latency}");
}

#[test]
fn a_rate_that_is_too_high_is_reported() {
    let place = Place::new();
    serve_unix(&place.socket(), |bytes, _| {
        thread::sleep(Duration::from_millis(10));
        Some(bytes.to_vec())
    });
    let found = run(&mut bench(&[
        "--rate",
        "10000",
        "--connections",
        "2",
        "--size",
        "8",
        text(&place.socket()),
    ]));
    assert_eq!(found.code, Some(0), "{found:#?}");
    found.explains(&["took only", "--rate"]);
}

#[test]
fn failures_are_clear() {
    let place = Place::new();
    let address = |name| place.at(name);
    let tried = |name| {
        let path = address(name);
        let finished = run(&mut bench(&["--connections", "2", text(&path)]));
        (text(&path).to_owned(), finished)
    };
    serve_unix(&address("other"), |_, _| {
        Some(b"something\x1b[2J else".to_vec())
    });
    let (path, finished) = tried("other");
    finished.fails(
        1,
        &[
            &path,
            "wrong answer",
            "expected \"0000",
            "found \"something\\x1b[2J else",
            "--expect",
        ],
    );

    serve_unix(&address("more"), |bytes, _| Some([bytes, b"\n"].concat()));
    tried("more").1.fails(1, &["wrong answer"]);

    serve_unix(&address("closing"), |_, _| None);
    tried("closing")
        .1
        .fails(1, &["closed a connection without an answer"]);

    serve_once_each(&address("half"), |bytes| bytes[..bytes.len() - 5].to_vec());
    tried("half")
        .1
        .fails(1, &["closed", "answer|in the middle"]);

    serve_unix(&address("mute"), |_, _| Some(Vec::new()));
    tried("mute").1.fails(6, &["2 of 2", "no answer"]);

    stale_socket(&address("stale"));
    tried("stale").1.fails(3, &["nobody listens"]);
    tried("absent").1.fails(3, &["cannot connect"]);
    std::fs::write(address("file"), "").expect("our own place");
    tried("file").1.fails(3, &["regular file"]);
    run(&mut bench(&["tcp:127.0.0.1:1"])).fails(3, &["tcp:127.0.0.1:1", "nobody listens"]);
}
