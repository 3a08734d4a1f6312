//! With the tools that everybody has: netcat, socat, Python, Go, lsof and ss.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Place, Process, REPLY, Server, optional_peer, python, require_peer, run, run_with_input,
    sockeye,
};

/// `received 19 bytes from pid N (NAME) uid U: Hello UNIX socket!`, whoever sent it.
#[track_caller]
fn greeted_by(server: &Server, name: &str) {
    let line = &server.process.stdout.first_lines(1)[0];
    let rest = line
        .strip_prefix("received 19 bytes from pid ")
        .unwrap_or_else(|| panic!("{line}"));
    let (pid, rest) = rest.split_once(" (").expect("a name after the pid");
    assert!(pid.parse::<u32>().is_ok_and(|pid| pid > 0), "{line}");
    let (comm, rest) = rest.split_once(") uid ").expect("a uid after the name");
    assert!(comm.starts_with(name), "{line}");
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(rest, format!("{uid}: Hello UNIX socket!"), "{line}");
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

#[test]
fn a_netcat_client_is_answered() {
    let Some(nc) = require_peer("nc") else {
        return;
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut command = Command::new(nc);
    let asked = run_with_input(command.arg("-NU").arg(&server.path), "Hello UNIX socket!\n");
    asked.succeeds();
    assert_eq!(asked.text(), format!("{REPLY}\n"));
    greeted_by(&server, "nc");
}

#[test]
fn a_socat_client_is_answered() {
    let Some(socat) = require_peer("socat") else {
        return;
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let mut command = Command::new(socat);
    command
        .arg("-")
        .arg(prefixed("UNIX-CONNECT:", &server.path));
    let asked = run_with_input(&mut command, "Hello UNIX socket!\n");
    asked.succeeds();
    assert_eq!(asked.text(), format!("{REPLY}\n"));
    greeted_by(&server, "socat");
}

#[test]
fn a_python_client_is_answered() {
    const CLIENT: &str = r"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'Hello UNIX socket!\n')
s.shutdown(socket.SHUT_WR)
answer = b''
while chunk := s.recv(4096):
    answer += chunk
sys.stdout.buffer.write(answer)
";
    let Some(mut client) = python(CLIENT) else {
        return;
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    let asked = run(client.arg(&server.path));
    asked.succeeds();
    assert_eq!(asked.text(), format!("{REPLY}\n"));
    greeted_by(&server, "python");
}

#[test]
fn a_socat_server_is_called() {
    let Some(socat) = require_peer("socat") else {
        return;
    };
    let place = Place::new();
    let mut address = prefixed("UNIX-LISTEN:", &place.socket());
    address.push(",fork");
    let _server = Process::spawn(Command::new(socat).arg(address).arg("EXEC:tr a-z A-Z"));
    let asked = run(sockeye()
        .args(["send", "--wait", "20s"])
        .arg(place.socket())
        .args(["hello", "socat"]));
    asked.succeeds();
    assert_eq!(asked.text(), "HELLO SOCAT\n");
    let asked = run_with_input(sockeye().arg("connect").arg(place.socket()), "hello\n");
    assert_eq!(asked.succeeds().text(), "HELLO\n");
}

#[test]
fn a_netcat_server_is_called() {
    let Some(nc) = require_peer("nc") else {
        return;
    };
    let place = Place::new();
    let mut server = Process::spawn_piped(Command::new(nc).arg("-lNU").arg(place.socket()));
    // It answers with its own standard input, which ends at once.
    let mut answer = server.stdin.take().expect("piped");
    std::io::Write::write_all(&mut answer, b"from netcat\n").expect("read");
    drop(answer);
    let asked = run(sockeye()
        .args(["send", "--wait", "20s"])
        .arg(place.socket())
        .arg("hello"));
    asked.succeeds();
    assert_eq!(asked.text(), "from netcat\n");
    assert_eq!(server.finish().text(), "hello\n");
}

#[test]
fn a_python_server_is_called() {
    const SERVER: &str = r"
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b'got ' + line)
with socketserver.UnixStreamServer(sys.argv[1], Handler) as server:
    print('ready')
    server.serve_forever()
";
    let Some(mut server) = python(SERVER) else {
        return;
    };
    let place = Place::new();
    let server = Process::spawn(server.arg(place.socket()));
    server.stdout.first_lines(1);
    let asked = run(sockeye().arg("send").arg(place.socket()).args(["a", "b"]));
    asked.succeeds();
    assert_eq!(asked.text(), "got a b\n");
    let asked = run_with_input(sockeye().arg("send").arg(place.socket()), "1\n2\n3\n");
    assert_eq!(asked.succeeds().text(), "got 1\ngot 2\ngot 3\n");
}

/// Builds one of the programs beside this file.
fn build_go(place: &Place, name: &str) -> Option<PathBuf> {
    let go = optional_peer("go")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/peers")
        .join(name)
        .with_extension("go");
    let program = place.at(name);
    let mut command = Command::new(go);
    command
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .env("CGO_ENABLED", "0")
        .current_dir(place.dir());
    if env::var_os("HOME").is_none() && env::var_os("GOCACHE").is_none() {
        command.env("GOCACHE", place.at("cache"));
    }
    let built = command
        .stdin(std::process::Stdio::null())
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    Some(program)
}

#[test]
fn the_thirty_line_go_client_is_answered() {
    let (place, tools) = (Place::new(), Place::new());
    let Some(client) = build_go(&tools, "client") else {
        return;
    };
    let server = Server::start(place.socket(), &[]);
    let asked = run(Command::new(client).arg(&server.path));
    asked.succeeds();
    assert_eq!(asked.text(), format!("Server replied: {REPLY}\n"));
    greeted_by(&server, "client");
}

#[test]
fn the_thirty_line_go_server_is_called() {
    let (place, tools) = (Place::new(), Place::new());
    let Some(server) = build_go(&tools, "server") else {
        return;
    };
    let server = Process::spawn(Command::new(server).arg(place.socket()));
    server.stdout.first_lines(1);
    for _ in 0..20 {
        let asked = run(sockeye()
            .arg("send")
            .arg(place.socket())
            .arg("Hello UNIX socket!"));
        asked.succeeds();
        assert_eq!(asked.text(), format!("{REPLY}\n"));
    }
    let lines = server.stdout.first_lines(2);
    assert_eq!(lines[1], r#"Received: "Hello UNIX socket!\n""#);
}

#[test]
fn lsof_shows_the_server_under_its_path() {
    let Some(lsof) = require_peer("lsof") else {
        return;
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &[]);
    // `-Fpn`: p and the pid, n and the name, a line each. A warning of its own is no matter.
    let listed = run(Command::new(lsof)
        .args(["-w", "-Fpn", "-Ua"])
        .arg(&server.path));
    let text = listed.text();
    let mut lines = text.lines();
    let pid = format!("p{}", server.process.id());
    assert!(lines.any(|line| line == pid), "{listed:#?}");
    let name = format!("n{}", server.path.display());
    assert!(
        lines.any(|line| line == name || line.starts_with(&format!("{name} "))),
        "{listed:#?}"
    );
}

#[test]
fn ss_shows_the_server_under_its_path() {
    let Some(ss) = require_peer("ss") else {
        return;
    };
    let place = Place::new();
    let server = Server::start(place.socket(), &["--backlog", "77"]);
    let listed = run(Command::new(ss).arg("-xlpnH"));
    let text = listed.text();
    let path = server.path.to_str().expect("plain");
    let line = text
        .lines()
        .find(|line| line.split_whitespace().any(|word| word == path))
        .unwrap_or_else(|| panic!("{path} is missing in: {text}"));
    let pid = format!("pid={},", server.process.id());
    assert!(line.contains(&pid), "{line}");
    assert!(line.contains("\"sockeye\""), "{line}");
    assert!(line.split_whitespace().any(|word| word == "77"), "{line}");
}
