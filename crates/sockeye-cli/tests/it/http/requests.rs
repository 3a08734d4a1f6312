//! What is asked, what is printed about it, and how a server with open requests ends.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::Site;
use super::site::field;
use crate::support::{Place, Server, lock_path, python, run, sockeye};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn each_request_is_a_line_that_says_who_has_sent_it() {
    let mut site = Site::new(&[], |_| ());
    let Some(curl) = site.curl(&[], "a?b=%22c") else {
        return;
    };
    assert_eq!(curl.text(), "404 Not Found: nothing is there\n");
    let line = site.server.process.stdout.first_lines(1).remove(0);
    let uid = rustix::process::getuid();
    assert!(
        line.starts_with("pid ") && line.contains(" (curl) "),
        "{line}"
    );
    let end = format!("uid {uid} \"GET /a?b=%22c HTTP/1.1\" 404 32");
    assert!(line.ends_with(&end), "{line}");
    site.server.stop().is_clean();

    let site = Site::new(&["--json"], |_| ());
    site.curl(&["--head"], "").expect("curl");
    let line = site.server.process.stdout.first_lines(1).remove(0);
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(value["event"], "request");
    assert_eq!(value["method"], "HEAD");
    assert_eq!(value["target"], "/");
    assert_eq!(value["status"], 200);
    assert_eq!(value["bytes"], 0);
    assert_eq!(value["comm"], "curl");
}

#[test]
fn head_has_no_body_and_other_methods_are_405() {
    let site = Site::new(&[], |_| ());
    let Some(head) = site.curl(&["--head"], "") else {
        return;
    };
    assert_eq!(field(&head.text(), "content-length"), "13");
    assert!(head.text().ends_with("\r\n\r\n"), "{head:?}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"] {
        let got = site
            .curl(&["--include", "--request", method], "")
            .expect("curl");
        assert!(got.text().starts_with("HTTP/1.1 405 "), "{method}: {got:?}");
        assert_eq!(field(&got.text(), "allow"), "GET, HEAD");
    }
    let upload = site.root().join("index.html");
    let upload = upload.to_str().expect("plain");
    let got = site
        .curl(&["--include", "--upload-file", upload], "new")
        .expect("curl");
    assert!(got.text().contains("HTTP/1.1 405 "), "{got:?}");
    assert!(!site.root().join("new").exists(), "read-only");
}

#[test]
fn old_and_pipelined_requests_are_answered_in_order() {
    let site = Site::new(&[], |root| fs::write(root.join("a"), "aaa").expect("fresh"));
    let old = site.raw("GET /a HTTP/1.0\r\n\r\n");
    assert!(
        old.starts_with("HTTP/1.0 200 ") && old.ends_with("\r\n\r\naaa"),
        "{old}"
    );
    let three = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = site.raw(three);
    let statuses: Vec<&str> = answers.matches("HTTP/1.1 200 ").collect();
    assert_eq!(statuses.len(), 2, "{answers}");
    let at = |text: &str| answers.find(text).expect("an answer");
    assert!(
        at("aaa") < at("404 Not") && at("404 Not") < at("hello"),
        "{answers}"
    );
}

#[test]
fn python_keeps_its_connection() {
    let mut site = Site::new(&[], |_| ());
    let script = r"
import http.client, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
connection = Unix('localhost')
for _ in range(1000):
    connection.request('GET', '/')
    assert connection.getresponse().read() == b'<p>hello</p>\n'
connection.close()
";
    let Some(mut python) = python(script) else {
        return;
    };
    run(python.arg(&site.server.path)).succeeds();
    assert_eq!(site.server.stop().is_clean().served, 1, "one accept");
}

#[test]
fn a_file_that_is_truncated_ends_the_connection() {
    let site = Site::new(&[], |root| {
        fs::write(root.join("large"), vec![b'x'; 8 << 20]).expect("fresh");
    });
    let mut stream = UnixStream::connect(&site.server.path).expect("a server");
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("a server");
    let mut some = [0; 1000];
    stream.read_exact(&mut some).expect("the beginning");
    let large = fs::File::options()
        .write(true)
        .open(site.root().join("large"));
    large.expect("there").set_len(100_000).expect("ours");
    let mut rest = Vec::new();
    // A reset or an EOF.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 8 << 20, "{} bytes", rest.len());
    let line = site
        .server
        .process
        .stderr
        .line("a warning", |line| line.contains("truncated"));
    assert!(
        line.contains("\"GET /large HTTP/1.1\": the file was truncated while it was sent"),
        "{line}"
    );
}

#[test]
fn a_request_in_flight_is_finished_in_a_drain() {
    let mut site = Site::new(&[], |root| {
        fs::write(root.join("large"), vec![b'x'; 8 << 20]).expect("fresh");
    });
    let mut stream = UnixStream::connect(&site.server.path).expect("a server");
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("a server");
    stream.read_exact(&mut [0; 1000]).expect("the beginning");
    site.server.begin_drain();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the rest");
    assert!(rest.len() > (8 << 20) - 1000, "{} bytes", rest.len());
    assert_eq!(site.server.ending().is_clean().drained, 1);
}

#[test]
fn limits_and_authorization_hold() {
    let site = Site::new(&["--max-per-uid", "1", "--idle-timeout", "60s"], |_| ());
    let mut first = UnixStream::connect(&site.server.path).expect("a server");
    first.write_all(GET.as_bytes()).expect("a server");
    first.read_exact(&mut [0; 15]).expect("an answer");
    let mut second = UnixStream::connect(&site.server.path).expect("a server");
    let _ = second.write_all(GET.as_bytes());
    let mut nothing = Vec::new();
    let _ = second.read_to_end(&mut nothing);
    assert_eq!(nothing, b"", "no answer beyond the limit of a user");
    drop(first);

    let site = Site::new(&["--max-connections", "1"], |_| ());
    let mut first = UnixStream::connect(&site.server.path).expect("a server");
    first.write_all(GET.as_bytes()).expect("a server");
    first.read_exact(&mut [0; 15]).expect("an answer");
    let mut second = UnixStream::connect(&site.server.path).expect("the backlog");
    second.write_all(GET.as_bytes()).expect("the backlog");
    second.set_nonblocking(true).expect("a flag");
    let waits = second.read(&mut [0]).expect_err("it waits");
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    second.set_nonblocking(false).expect("a flag");
    drop(first);
    second.read_exact(&mut [0; 15]).expect("an answer");
}

/// Resident memory that is not that of files, in KiB.
fn memory(site: &Site) -> u64 {
    site.server.process.memory_kib("RssAnon")
}

#[test]
fn clients_that_read_nothing_or_send_half_a_head_cost_little() {
    const CLIENTS: u64 = 400;
    for (request, most) in [
        ("GET /large HTTP/1.1\r\nHost: x\r\n\r\n", 64),
        ("GET /large HTTP/1.1\r\nHost: x\r\nX: half", 32),
    ] {
        let site = Site::new(&[], |root| {
            let large = fs::File::create(root.join("large")).expect("fresh");
            large.set_len(20 << 20).expect("ours");
        });
        let connect = || {
            let mut stream = UnixStream::connect(&site.server.path).expect("a server");
            stream.write_all(request.as_bytes()).expect("room");
            stream
        };
        let first = connect();
        let before = memory(&site);
        let clients: Vec<UnixStream> = (0..CLIENTS).map(|_| connect()).collect();
        // This one is answered after all others were heard.
        drop((first, site.raw("GET / HTTP/1.0\r\n\r\n")));
        let each = (memory(&site) - before) / CLIENTS;
        assert!(each <= most, "{each} KiB for {request:?}");
        drop(clients);
    }
}

#[test]
fn once_is_one_connection() {
    let mut site = Site::new(&["--once"], |_| ());
    let mut stream = UnixStream::connect(&site.server.path).expect("a server");
    for _ in 0..2 {
        stream.write_all(GET.as_bytes()).expect("a server");
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).expect("an answer");
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
    }
    drop(stream);
    assert_eq!(site.server.ending().is_clean().served, 1);
}

#[test]
fn a_takeover_refuses_no_client() {
    let site = Site::new(&["--takeover"], |_| ());
    let Site { server, place } = site;
    let root = place.at("www");
    let ask = || {
        let answer = run(sockeye().args(["send", "--http", "/"]).arg(place.socket()));
        assert_eq!(
            (answer.code, &*answer.text()),
            (Some(0), "<p>hello</p>\n"),
            "{answer:?}"
        );
    };
    let mut servers = vec![server];
    for _ in 0..5 {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| (0..10).for_each(|_| ask()));
            let options = ["--takeover", "--http", root.to_str().expect("plain")];
            servers.push(Server::start(place.socket(), &options));
            asking.join().expect("no client is refused");
        });
        let ending = servers.remove(0).ending();
        assert_eq!(
            (ending.code, ending.report().aborted),
            (Some(0), 0),
            "{ending:?}"
        );
    }
    servers.remove(0).stop().is_clean();
    assert!(!lock_path(&place.socket()).exists());
}

#[test]
fn options_that_make_no_sense_together_are_wrong_usage() {
    let place = Place::new();
    let socket = place.socket();
    let socket = socket.to_str().expect("plain");
    let directory = place.dir().to_str().expect("plain");
    for (options, word) in [
        (&["--echo"] as &[&str], "--echo"),
        (&["--reply", "x"], "--reply"),
        (&["--discard"], "--discard"),
        (&["--framing", "raw"], "--framing"),
        (&["--max-message", "1"], "--max-message"),
        (&["--max-buffered", "1"], "--max-buffered"),
        (&["--message-timeout", "1s"], "--message-timeout"),
        (&["--fds"], "--fds"),
    ] {
        let tried = run(sockeye()
            .args(["serve", "--http", directory])
            .args(options)
            .arg(socket));
        tried.fails(2, &["--http", word]);
    }
    let program = ["serve", "--http", directory, socket, "--", "cat"];
    run(sockeye().args(program)).fails(2, &["--http"]);
    for kind in ["seqpacket:", "dgram:"] {
        let address = format!("{kind}{socket}");
        let tried = run(sockeye().args(["serve", "--http", directory, &address]));
        tried.fails(2, &["--http", "stream"]);
    }
    for (missing, code) in [("/no/such/dir", 3), ("/etc/hostname", 3)] {
        let tried = run(sockeye().args(["serve", "--http", missing, socket]));
        tried.fails(code, &[missing]);
    }
    assert_eq!(place.names().len(), 0, "nothing is touched");
}
