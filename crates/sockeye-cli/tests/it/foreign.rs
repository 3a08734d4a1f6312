//! What is not ours at the path: running servers that know nothing of our lock, files, symlinks.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::support::{
    Client, Place, Process, Server, is_root, optional_peer, python, require_peer, run, stale_socket,
};

/// `serve` refuses with exit 4, says why, and nothing in the directory changes.
#[track_caller]
fn refused_untouched(place: &Place, path: &Path, words: &[&str]) {
    let before = place.snapshot();
    for options in [&[] as &[&str], &["--if-exists", "fail"]] {
        let tried = run(Server::command(options).arg(path));
        tried.fails(4, words);
        tried.explains(&[path.to_str().expect("plain")]);
        assert_eq!(place.snapshot(), before, "untouched, and nothing of ours");
    }
}

#[test]
fn a_live_listener_of_somebody_else_is_not_displaced() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let pid = std::process::id().to_string();
    refused_untouched(&place, &place.socket(), &[&pid]);
    // It still answers, and heard nothing of the probe: sock_diag knows without a connection.
    listener.set_nonblocking(true).expect("our own");
    let heard = listener.accept().map_err(|error| error.kind());
    assert_eq!(heard.err(), Some(ErrorKind::WouldBlock), "no noise");
    UnixStream::connect(place.socket()).expect("still there");
}

#[test]
fn a_live_listener_under_another_name_is_not_displaced() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.at("before")).expect("a fresh path");
    fs::rename(place.at("before"), place.socket()).expect("moved");
    refused_untouched(&place, &place.socket(), &[]);
}

#[test]
fn a_socket_that_is_bound_and_does_not_listen_is_not_displaced() {
    let place = Place::new();
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(place.socket()).expect("short")).expect("a fresh path");
    refused_untouched(&place, &place.socket(), &[]);
    listen(&fd, 1).expect("the path is still ours");
    UnixStream::connect(place.socket()).expect("still there");
}

#[test]
fn a_server_with_a_full_backlog_is_not_displaced() {
    let place = Place::new();
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(place.socket()).expect("short")).expect("a fresh path");
    listen(&fd, 0).expect("bound");
    let _waiting = UnixStream::connect(place.socket()).expect("the one that fits");
    refused_untouched(&place, &place.socket(), &[]);
}

#[test]
fn a_datagram_socket_is_not_displaced() {
    let place = Place::new();
    let _socket = UnixDatagram::bind(place.socket()).expect("a fresh path");
    refused_untouched(&place, &place.socket(), &[]);
}

#[test]
fn a_seqpacket_server_is_not_displaced() {
    let place = Place::new();
    let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    bind(&fd, &SocketAddrUnix::new(place.socket()).expect("short")).expect("a fresh path");
    listen(&fd, 1).expect("bound");
    refused_untouched(&place, &place.socket(), &[]);
}

const PYTHON_SERVER: &str = r"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
if sys.argv[2] == 'listen':
    s.listen(5)
print('ready')
sys.stdin.readline()
s.listen(5)
c, _ = s.accept()
c.sendall(b'still me')
";

#[test]
fn python_is_not_displaced() {
    for how in ["listen", "bind only"] {
        let place = Place::new();
        let Some(mut command) = python(PYTHON_SERVER) else {
            return;
        };
        let mut foreign = Process::spawn_piped(command.arg(place.socket()).arg(how));
        foreign.stdout.first_lines(1);
        let pid = foreign.id().to_string();
        let words: &[&str] = if how == "listen" { &[&pid] } else { &[] };
        refused_untouched(&place, &place.socket(), words);
        drop(foreign.stdin.take());
        let answer = std::io::read_to_string(crate::support::eventually("it listens", || {
            UnixStream::connect(place.socket()).ok()
        }));
        assert_eq!(answer.expect("an orderly end"), "still me");
    }
}

#[test]
fn socat_is_not_displaced() {
    let Some(socat) = require_peer("socat") else {
        return;
    };
    let place = Place::new();
    let mut address = std::ffi::OsString::from("UNIX-LISTEN:");
    address.push(place.socket());
    address.push(",fork");
    let foreign = Process::spawn(Command::new(socat).arg(address).arg("EXEC:cat"));
    crate::support::eventually("it listens", || UnixStream::connect(place.socket()).ok());
    let pid = foreign.id().to_string();
    refused_untouched(&place, &place.socket(), &[&pid]);
    let mut client = Client::connect(place.socket());
    client.send("still you?\n");
    assert_eq!(client.line(), "still you?");
}

#[test]
fn a_live_server_in_another_network_namespace_is_not_displaced() {
    if !is_root() {
        return crate::support::skipped("not root");
    }
    let (Some(unshare), Some(python)) = (optional_peer("unshare"), python(PYTHON_SERVER)) else {
        return;
    };
    // Bound only, it refuses connections as a dead one does, and our own table does not show it.
    for how in ["listen", "bind only"] {
        let place = Place::new();
        let mut command = Command::new(&unshare);
        command
            .arg("-n")
            .arg(python.get_program())
            .args(python.get_args());
        let mut foreign = Process::spawn_piped(command.arg(place.socket()).arg(how));
        foreign.stdout.first_lines(1);
        refused_untouched(&place, &place.socket(), &[]);
        drop(foreign.stdin.take());
    }
}

#[test]
fn an_abstract_name_of_somebody_else_is_in_use() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("sockeye-test-{}-foreign", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("short");
    let listener = UnixListener::bind_addr(&address).expect("a fresh name");
    let shown = format!("@{name}");
    run(Server::command(&[]).arg(&shown)).fails(4, &[&shown]);
    UnixStream::connect_addr(&address).expect("still there");
    drop(listener);
}

#[test]
fn a_regular_file_is_left() {
    let place = Place::new();
    fs::write(place.socket(), "precious").expect("our own place");
    refused_untouched(&place, &place.socket(), &["regular file|not a socket"]);
    fs::write(place.socket(), "").expect("our own place");
    refused_untouched(&place, &place.socket(), &["file"]);
}

#[test]
fn a_directory_is_left() {
    let place = Place::new();
    fs::create_dir(place.socket()).expect("our own place");
    refused_untouched(&place, &place.socket(), &["directory"]);
    fs::write(place.socket().join("inside"), "precious").expect("our own place");
    refused_untouched(&place, &place.socket(), &["directory"]);
    assert!(place.socket().join("inside").exists());
}

#[test]
fn a_fifo_is_left() {
    let place = Place::new();
    mkfifoat(CWD, place.socket(), Mode::RUSR | Mode::WUSR).expect("our own place");
    refused_untouched(&place, &place.socket(), &["fifo|named pipe"]);
}

#[test]
fn symlinks_to_anything_are_left() {
    let place = Place::new();
    fs::write(place.at("file"), "precious").expect("our own place");
    fs::create_dir(place.at("dir")).expect("our own place");
    mkfifoat(CWD, place.at("fifo"), Mode::RUSR).expect("our own place");
    stale_socket(&place.at("stale"));
    let _live = UnixListener::bind(place.at("live")).expect("a fresh path");
    symlink("file", place.at("link")).expect("a fresh path");
    for target in ["file", "dir", "fifo", "stale", "live", "link", "missing"] {
        let link = place.at(format!("to-{target}"));
        symlink(target, &link).expect("a fresh path");
        refused_untouched(&place, &link, &["symlink|symbolic link"]);
    }
    let absolute = place.at("absolute");
    symlink(place.at("stale"), &absolute).expect("a fresh path");
    refused_untouched(&place, &absolute, &["symlink|symbolic link"]);
    UnixStream::connect(place.at("live")).expect("still there");
}

#[test]
fn a_symlink_on_the_way_is_no_obstacle() {
    let place = Place::new();
    fs::create_dir(place.at("real")).expect("our own place");
    symlink("real", place.at("dir")).expect("a fresh path");
    let mut server = Server::start(place.at("dir").join("app.sock"), &[]);
    assert!(place.at("real").join("app.sock").exists());
    server.ask("hello\n");
    server.stop().is_clean();
}

#[test]
fn one_of_ours_is_named_by_its_pid() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    let pid = server.process.id().to_string();
    refused_untouched(&place, &place.socket(), &[&pid]);
    let ending = server.stop();
    let report = ending.is_clean();
    assert_eq!(report.served + report.drained, 0, "no noise: {ending:#?}");
}

#[test]
fn if_exists_fail_keeps_a_stale_socket() {
    let place = Place::new();
    stale_socket(&place.socket());
    let before = place.snapshot();
    let tried = run(Server::command(&["--if-exists", "fail"]).arg(place.socket()));
    tried.fails(4, &[place.socket().to_str().expect("plain")]);
    assert_eq!(place.snapshot(), before);
    let mut server = Server::start(place.socket(), &["--if-exists", "replace-stale"]);
    server.ask("hello\n");
    server.stop().is_clean();
    let mut server = Server::start(place.socket(), &["--if-exists", "fail"]);
    server.ask("hello\n");
    server.stop().is_clean();
}
