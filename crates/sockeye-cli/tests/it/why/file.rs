//! Socket files and servers that have lost one another.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{SocketAddrUnix, SocketType, connect};

use super::{listening, own_pid, unconnected, why};
use crate::support::{Place, Process, Server, is_root, python, run, sockeye, stale_socket};

#[test]
fn a_stale_file_is_named() {
    let place = Place::new();
    stale_socket(&place.socket());
    why(place.socket(), &[]).is(3, "stale", &["stale"]);
    why(place.socket(), &["--connect"]).is(3, "stale", &["refused"]);
}

#[test]
fn a_stale_file_whose_connections_live_is_named() {
    let (place, listener) = listening();
    let _client = UnixStream::connect(place.socket()).expect("listening");
    let _accepted = listener.accept().expect("waiting");
    drop(listener);
    bears(&place.socket(), "listener that was closed", "go on");
    // The claim sees it the same way, and the connection goes on.
    let server = Server::start(place.socket(), &[]);
    let pid = format!("pid {} (", server.process.id());
    why(place.socket(), &[]).is(0, "none", &[&pid]);
}

/// Nobody listens at the path, and this process is named as who has one socket of that name.
#[track_caller]
fn bears(path: &Path, whose: &str, advice: &str) {
    for options in [&[] as &[&str], &["--connect"]] {
        let told = why(path, options);
        let words = [&*own_pid(), "1 connection of that name", whose, advice];
        told.is(3, "no-listener", &words);
        assert!(!told.text.contains("gone"), "{}", told.text);
    }
    let dir = path.parent().expect("absolute");
    let mut listed = sockeye();
    listed.args(["ls", "--stale", "-H", "--in"]).arg(dir);
    assert_eq!(run(&mut listed).text(), "", "an open socket owns it");
}

#[test]
fn a_file_that_a_client_is_bound_to_is_named() {
    let (place, listener) = listening();
    fs::create_dir(place.at("clients")).expect("our own place");
    let path = place.at("clients/one");
    let client = unconnected(SocketType::STREAM, &path);
    connect(
        &client,
        &SocketAddrUnix::new(place.socket()).expect("short"),
    )
    .expect("listening");
    let _accepted = listener.accept().expect("waiting");
    if is_root() {
        bears(&path, "client that is bound", "end that client");
    }
    let words = [&*own_pid(), "1 connection of that name"];
    why(&path, &["--connect"]).is(3, "no-listener", &words);
    // Nor does a server take its name away.
    let served = run(sockeye().arg("serve").arg(&path));
    served.fails(4, &["owns it", &std::process::id().to_string()]);
}

#[test]
fn a_file_that_was_removed_under_its_server_is_named() {
    let (place, _listener) = listening();
    fs::remove_file(place.socket()).expect("our own place");
    why(place.socket(), &[]).is(3, "removed", &[&own_pid(), "still lives"]);
    fs::write(place.socket(), "").expect("our own place");
    let told = why(place.socket(), &[]);
    told.is(3, "removed", &["still lives"]);
    for (field, words) in [("verdict", "is a regular file"), ("advice", "away first")] {
        let text = told.json[field].as_str().expect("a sentence");
        assert!(text.contains(words), "{field}: {}", told.text);
    }
}

#[test]
fn a_link_to_a_file_that_was_removed_under_its_server_is_named() {
    let (place, _listener) = listening();
    symlink("app.sock", place.at("link")).expect("our own place");
    fs::remove_file(place.socket()).expect("our own place");
    let words = [&*own_pid(), "target of the symbolic link", "still lives"];
    why(place.at("link"), &[]).is(3, "removed", &words);
}

#[test]
fn a_file_that_was_bound_by_a_relative_name_is_found() {
    let place = Place::new();
    let script = "import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind('r.sock'); s.listen(1); os.unlink('r.sock')
print('ready'); sys.stdin.read()";
    let Some(mut server) = python(script) else {
        return;
    };
    let server = Process::spawn_piped(server.current_dir(place.dir()));
    server.stdout.line("ready", |line| line == "ready");
    let pid = format!("pid {} (", server.id());
    why(place.at("r.sock"), &[]).is(3, "missing", &[&pid, "relative path r.sock"]);
}

#[test]
fn a_file_that_was_renamed_is_named() {
    let (place, _listener) = listening();
    fs::rename(place.socket(), place.at("after")).expect("our own place");
    let words = [&*own_pid(), "has renamed the file", "/after"];
    let told = why(place.socket(), &[]);
    told.is(3, "renamed", &words);
    assert!(!told.text.contains("gone"), "{}", told.text);
    why(place.at("after"), &[]).is(0, "none", &[&own_pid()]);
}

#[test]
fn a_directory_that_was_removed_under_its_server_is_named() {
    let place = Place::new();
    fs::create_dir(place.at("run")).expect("our own place");
    let _listener = UnixListener::bind(place.at("run/app.sock")).expect("a fresh path");
    fs::remove_dir_all(place.at("run")).expect("our own place");
    why(place.at("run/app.sock"), &[]).is(3, "removed", &[&own_pid(), "/run does not exist"]);
}

#[test]
fn a_server_that_replaced_an_older_one_is_told_apart() {
    let (place, _old) = listening();
    fs::remove_file(place.socket()).expect("our own place");
    let server = Server::start(place.socket(), &[]);
    // Children of other tests have it for a moment as well.
    let old = ["an older server still lives, ", &own_pid()];
    let new = format!("pid {} (sockeye", server.process.id());
    why(place.socket(), &[]).is(0, "none", &[old[0], old[1], &new]);
    drop(server);
    fs::remove_file(place.socket()).ok();
    stale_socket(&place.socket());
    let told = why(place.socket(), &[]);
    told.is(3, "stale", &["stale", old[0], old[1]]);
}
