//! The way to the file: names, links, what stands at its end.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;

use super::{Told, listening, own_pid, why};
use crate::ls::terminal::on_terminal;
use crate::support::{Place, Server, run, sockeye};

#[test]
fn a_relative_path_is_walked_from_here() {
    let (place, _listener) = listening();
    let told = Told::by(|| {
        let mut command = sockeye();
        command.current_dir(place.dir()).args(["why", "app.sock"]);
        command
    });
    told.is(0, "none", &[]);
    assert_eq!(told.steps("directory"), ["ok"]);
}

#[test]
fn links_are_followed() {
    let place = Place::new();
    fs::create_dir(place.at("real")).expect("our own place");
    let _listener = UnixListener::bind(place.at("real/app.sock")).expect("a fresh path");
    symlink("real/../real/", place.at("dir")).expect("a fresh path");
    symlink(place.at("dir/app.sock"), place.at("link")).expect("a fresh path");
    let told = why(place.at("link"), &[]);
    told.is(
        0,
        "none",
        &["symbolic link to", "real/app.sock is a socket"],
    );
    assert_eq!(told.steps("link"), ["ok", "ok"]);
}

#[test]
fn a_link_of_proc_is_followed() {
    let (place, _listener) = listening();
    let path = format!(
        "/proc/{}/root{}",
        std::process::id(),
        place.socket().display()
    );
    let told = why(&path, &[]);
    told.is(0, "none", &[&own_pid()]);
    // What is below it keeps that name: without it the path would be one of ours.
    assert!(
        told.text.contains(&format!("{path} is a socket file")),
        "{}",
        told.text
    );
    let root = format!("/proc/{}/root", std::process::id());
    let below = told
        .text
        .lines()
        .skip_while(|line| !line.contains("symbolic link to /"));
    for line in below.skip(1).filter(|line| line.contains("searched")) {
        assert!(line.contains(&root), "{line} in {}", told.text);
    }
    let told = why(format!("{root}/no/such"), &[]);
    told.is(
        3,
        "directory-missing",
        &[&format!("the directory {root}/no does not exist")],
    );
}

#[test]
fn links_in_a_circle_are_named() {
    let place = Place::new();
    symlink("b", place.at("a")).expect("a fresh path");
    symlink("a", place.at("b")).expect("a fresh path");
    symlink(".", place.at("here")).expect("a fresh path");
    let told = why(place.at("a"), &[]);
    told.is(1, "loop", &["too many symbolic links, or a circle"]);
    assert_eq!(told.steps("link"), ["ok", "ok", "no"], "each once");
    // Often is not in a circle.
    let _listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let often = |times| place.dir().join("here/".repeat(times)).join("app.sock");
    why(often(40), &[]).is(0, "none", &[]);
    UnixStream::connect(often(9)).expect("and the kernel thinks so too");
    why(often(41), &[]).is(1, "loop", &[]);
}

#[test]
fn a_path_that_is_missing_is_named() {
    let place = Place::new();
    let path = place.socket();
    let plain = path.to_str().expect("plain");
    why(&path, &[]).is(3, "missing", &[plain, "does not exist"]);
    symlink("app.sock", place.at("link")).expect("a fresh path");
    why(place.at("link"), &[]).is(3, "dangling-link", &[plain, "symbolic link"]);
    why(place.at("no/such.sock"), &[]).is(3, "directory-missing", &["/no does not exist"]);
    fs::write(place.at("file"), "").expect("our own place");
    why(place.at("file/s"), &[]).is(3, "not-a-directory", &["/file is not a directory"]);
}

#[test]
fn a_file_that_is_no_socket_is_named() {
    let place = Place::new();
    fs::write(place.at("file"), "").expect("our own place");
    fs::create_dir(place.at("dir")).expect("our own place");
    mkfifoat(CWD, place.at("fifo"), Mode::RUSR).expect("our own place");
    let shown = [
        (place.at("file"), "a regular file"),
        (place.at("dir"), "a directory"),
        (place.at("fifo"), "a FIFO"),
        ("/dev/null".into(), "a device"),
    ];
    for (path, word) in shown {
        why(path, &[]).is(3, "not-a-socket", &[word]);
    }
}

#[test]
fn a_name_that_no_file_can_have_is_explained() {
    let place = Place::new();
    why(place.at("x".repeat(256)), &[]).is(1, "io", &["too long"]);
}

#[test]
fn a_path_longer_than_an_address_is_explained() {
    let place = Place::new();
    let dir = place.at("d".repeat(100));
    fs::create_dir(&dir).expect("our own place");
    let server = Server::start(dir.join("app.sock"), &[]);
    let told = why(&server.path, &["--connect"]);
    told.is(0, "none", &["107", "sockeye reaches it"]);
    assert_eq!(told.steps("length"), ["note"]);
}

#[test]
fn names_are_escaped() {
    let place = Place::new();
    let path = place.at(OsStr::from_bytes(b"a\x1b[2J b\n\xff"));
    let _listener = UnixListener::bind(&path).expect("a fresh path");
    why(&path, &[]).is(0, "none", &["a\\x1b[2J b\\x0a\\xff\" is a socket"]);
}

#[test]
fn an_address_is_written_as_ls_does() {
    let place = Place::new();
    let path = place.at(OsStr::from_bytes(b"a \xff"));
    let _listener = UnixListener::bind(&path).expect("a fresh path");
    let listed = run(sockeye().args(["ls", "--json"]).arg(&path));
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("one object");
    let prefixed = super::kind("unix:", &path);
    for told in [why(&path, &[]), why(prefixed, &[])] {
        for field in ["kind", "address", "address_base64"] {
            assert!(listed[field].is_string(), "{listed}");
            assert_eq!(told.json[field], listed[field]);
        }
    }
    let told = why("dgram:@no such\\xff", &[]);
    assert_eq!(told.json["kind"], "datagram");
    assert_eq!(told.json["address"], "@no such\\xff");
}

#[test]
fn wrong_usage_is_exit_2() {
    run(sockeye().args(["why", "fd:3"])).fails(2, &["fd:3", "path"]);
    run(sockeye().args(["why", "--user", "no-such-user-here", "/x"])).fails(2, &["no user"]);
    run(sockeye().arg("why")).fails(2, &["address"]);
}

#[test]
fn lines_are_broken_between_words_on_a_terminal_only() {
    let (place, _listener) = listening();
    let mut command = sockeye();
    command.arg("why").arg(place.socket());
    let whole = run(&mut command).text();
    assert!(
        whole.lines().any(|line| line.chars().count() > 60),
        "{whole}"
    );
    let text = on_terminal(&mut command, 60);
    for line in text.lines() {
        let is_narrow = line.chars().count() <= 60;
        assert!(
            is_narrow || line.split(' ').any(|word| word.len() > 40),
            "{text}"
        );
    }
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&text), words(&whole), "and nothing is lost");
}
