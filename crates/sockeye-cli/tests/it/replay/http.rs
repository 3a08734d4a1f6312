//! HTTP: curl and Python's server, recorded, played, and stood in for.

use std::path::{Path, PathBuf};
use std::process::Command;

use sockeye::Kind;

use super::recorder::RecordingRelay;
use super::{last_line, replay, stand_in};
use crate::support::{Place, Process, python, require_peer, run};

/// Files below the working directory, by HTTP/1.1 over the UNIX socket of its argument.
const SERVER: &str = r"
import http.server, socketserver, sys
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def address_string(self):
        return 'unix'
    def log_message(self, *args):
        pass
server = Server(sys.argv[1], Handler)
print('listening')
server.serve_forever()
";

/// What changes from one answer to the next.
const DATE: &str = "^(Date|Last-Modified): .*";

struct HttpServer {
    place: Place,
    _process: Process,
}

impl HttpServer {
    fn start() -> Option<Self> {
        let place = Place::new();
        std::fs::create_dir(place.at("www")).unwrap();
        for (name, content) in [
            ("a.txt", "hello\n".to_owned()),
            ("b.txt", "x".repeat(300_000)),
        ] {
            std::fs::write(place.at("www").join(name), content).unwrap();
        }
        let mut command = python(SERVER)?;
        command.current_dir(place.at("www")).arg(place.socket());
        let process = Process::spawn(&mut command);
        process.stdout.first_lines(1);
        Some(Self {
            place,
            _process: process,
        })
    }

    /// Records some requests, and returns what curl has printed.
    fn record(&self, curl: &Path) -> (PathBuf, Vec<Vec<u8>>) {
        let relay = RecordingRelay::start(&self.place, "tap", Kind::Stream, &self.place.socket());
        let answers = requests(curl, &relay.front);
        (relay.finish(), answers)
    }
}

/// Several requests, some on one connection; the bodies and what was printed of the headers.
fn requests(curl: &Path, socket: &Path) -> Vec<Vec<u8>> {
    let paths: [&[&str]; 4] = [&["a.txt"], &["b.txt", "a.txt", "b.txt"], &["none"], &[""]];
    let ask = |paths: &&[&str]| {
        let urls = paths.iter().map(|path| format!("http://localhost/{path}"));
        let format = "%{http_code} %{size_download} %{num_connects}\n";
        let mut command = Command::new(curl);
        command.args(["-sS", "--max-time", "20", "-w", format, "--unix-socket"]);
        let asked = run(command.arg(socket).args(urls));
        assert_eq!(asked.code, Some(0), "{asked:#?}");
        asked.stdout
    };
    paths.iter().map(ask).collect()
}

#[test]
fn a_check_passes_on_the_same_server_and_fails_on_a_changed_one() {
    let (Some(curl), Some(server)) = (require_peer("curl"), HttpServer::start()) else {
        return;
    };
    let (file, _) = server.record(&curl);
    let check = ["--speed", "max", "--check", "--mask", DATE];
    let played = replay(&check, &file, server.place.socket());
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert!(
        last_line(&played).starts_with("replayed 4 connections"),
        "{played:#?}"
    );
    std::fs::write(server.place.at("www/a.txt"), "hello, world\n").unwrap();
    let played = replay(&check, &file, server.place.socket());
    assert_eq!(played.code, Some(1), "{played:#?}");
    let text = played.text();
    assert!(text.starts_with("connection 0 differs at byte "), "{text}");
    assert!(
        text.contains(r#"expected "Content-Length: 6\r\n""#),
        "{text}"
    );
    assert!(
        text.contains(r#"found    "Content-Length: 13\r\n""#),
        "{text}"
    );
    assert!(last_line(&played).contains("2 different"), "{played:#?}");
}

#[test]
fn a_stand_in_answers_curl_as_the_server_did() {
    let (Some(curl), Some(server)) = (require_peer("curl"), HttpServer::start()) else {
        return;
    };
    let (file, answers) = server.record(&curl);
    let path = server.place.at("stand-in.sock");
    let mut stand_in = stand_in(&[], &file, &path);
    // Twice: when all connections were played, they are played again.
    for _ in 0..2 {
        assert!(requests(&curl, &path) == answers, "the same answers");
    }
    stand_in.stop().is_clean();
}

#[test]
fn what_a_recording_has_not_is_refused_with_the_difference() {
    let (Some(curl), Some(server)) = (require_peer("curl"), HttpServer::start()) else {
        return;
    };
    let (file, _) = server.record(&curl);
    let path = server.place.at("stand-in.sock");
    let mut stand_in = stand_in(&[], &file, &path);
    let mut command = Command::new(&curl);
    command.args(["-sS", "--max-time", "20", "--unix-socket"]);
    let asked = run(command.arg(&path).arg("http://localhost/a.html"));
    assert_eq!(asked.code, Some(52), "an empty reply: {asked:#?}");
    let line = stand_in
        .process
        .stderr
        .line("the difference", |line| line.contains("closest"));
    assert!(line.contains(r#""GET /a.html HTTP/1.1\r\n""#), "{line}");
    assert!(
        line.contains(r#"connection 0, has "GET /a.txt HTTP/1.1\r\n""#),
        "{line}"
    );
    let ending = stand_in.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    assert!(ending.stderr.contains("; unmatched: 1"), "{ending:#?}");
}

#[test]
fn what_editcap_and_tshark_have_written_is_played() {
    let (Some(curl), Some(server)) = (require_peer("curl"), HttpServer::start()) else {
        return;
    };
    let (Some(editcap), Some(tshark)) = (require_peer("editcap"), require_peer("tshark")) else {
        return;
    };
    let (file, _) = server.record(&curl);
    let check = ["--speed", "max", "--check", "--mask", DATE];
    let written = server.place.at("written.pcapng");
    run(Command::new(&tshark)
        .arg("-r")
        .arg(&file)
        .arg("-w")
        .arg(&written));
    let played = replay(&check, &written, server.place.socket());
    assert_eq!(played.code, Some(0), "{played:#?}");
    assert!(
        last_line(&played).starts_with("replayed 4 connections"),
        "{played:#?}"
    );
    // Some packets of the first connection are gone: its beginning, then one in the middle.
    for (packets, reason) in [("1-3", "without the beginning"), ("5", "incomplete")] {
        let cut = server.place.at("cut.pcapng");
        run(Command::new(&editcap).arg(&file).arg(&cut).arg(packets));
        let played = replay(&check, &cut, server.place.socket());
        assert_eq!(played.code, Some(7), "{packets}: {played:#?}");
        let line = last_line(&played);
        assert!(
            line.starts_with("replayed 3 connections"),
            "{packets}: {line}"
        );
        assert!(
            line.contains(&format!("left out: 1 ({reason}")),
            "{packets}: {line}"
        );
    }
}
