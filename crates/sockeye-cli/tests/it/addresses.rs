//! Every kind of name: long, relative, abstract, not text.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Client, Place, REPLY, Server, lock_path, run, sockeye, stale_socket};

fn send(address: impl AsRef<OsStr>) -> Command {
    let mut command = sockeye();
    command.arg("send").arg(address).arg("hello");
    command
}

#[track_caller]
fn answers(address: impl AsRef<OsStr>) {
    let sent = run(&mut send(address));
    sent.succeeds();
    assert_eq!(sent.text(), format!("{REPLY}\n"));
}

/// Serve, second server refused, drained, and nothing but the two files in between.
#[track_caller]
fn whole_life(path: &Path) {
    let dir = path.parent().expect("absolute");
    let names = || {
        let mut names: Vec<PathBuf> = fs::read_dir(dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), Vec::<PathBuf>::new());
    let mut server = Server::start(path, &[]);
    assert_eq!(names(), [path.to_owned(), lock_path(path)]);
    let meta = fs::symlink_metadata(path).expect("it is there");
    assert!(meta.file_type().is_socket());
    answers(path);
    run(Server::command(&[]).arg(path)).fails(4, &[]);
    answers(path);
    server.stop().is_clean();
    assert_eq!(names(), Vec::<PathBuf>::new());
    // And over what a killed one leaves behind.
    drop(Server::start(path, &[]));
    assert!(names().contains(&path.to_owned()), "killed: left behind");
    run(&mut send(path)).fails(3, &["nobody listens|stale|left behind"]);
    let mut server = Server::start(path, &[]);
    answers(path);
    server.stop().is_clean();
    assert_eq!(names(), Vec::<PathBuf>::new());
}

#[test]
fn a_short_path_is_served() {
    let place = Place::new();
    whole_life(&place.socket());
}

#[test]
fn a_directory_may_be_longer_than_an_address() {
    let place = Place::new();
    let dir = place.at("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&dir).expect("our own place");
    whole_life(&dir.join("app.sock"));
}

#[test]
fn a_path_around_the_limit_of_an_address_is_served() {
    let place = Place::new();
    let used = place.dir().as_os_str().len() + 1;
    for length in 105..=110 {
        let dir = Place::new();
        assert_eq!(dir.dir().as_os_str().len() + 1, used);
        whole_life(&dir.at("s".repeat(length - used)));
    }
}

#[test]
fn names_may_be_longer_than_an_address() {
    for length in [84, 86, 92, 107, 108, 200, 250] {
        let place = Place::new();
        whole_life(&place.at("s".repeat(length)));
    }
}

#[test]
fn a_long_name_in_a_long_directory_is_served() {
    let place = Place::new();
    let dir = place.at("d".repeat(250));
    fs::create_dir_all(&dir).expect("our own place");
    whole_life(&dir.join("s".repeat(250)));
}

#[test]
fn a_name_without_room_for_its_lock_says_so() {
    let place = Place::new();
    for length in [251, 255, 256] {
        let path = place.at("s".repeat(length));
        let tried = run(Server::command(&[]).arg(&path));
        assert!(
            tried.code.is_some_and(|code| code != 0),
            "{length}: {tried:#?}"
        );
        tried.explains(&["long|250|room", "250|lock|255"]);
        assert_eq!(place.names().len(), 0);
    }
}

#[test]
fn a_name_without_room_for_the_control_socket_is_told_its_own_limit() {
    let place = Place::new();
    for length in [242, 246, 250, 251] {
        let path = place.at("s".repeat(length));
        let tried = run(Server::command(&["--takeover"]).arg(&path));
        tried.fails(2, &[&format!("has {length} bytes"), "shorten it to 241"]);
        assert!(!tried.stderr.contains(".takeover"), "{}", tried.stderr);
        assert_eq!(place.names().len(), 0);
    }
    let mut longest = Server::start(place.at("s".repeat(241)), &["--takeover"]);
    longest.stop().is_clean();
}

#[test]
fn a_relative_path_is_served() {
    let place = Place::new();
    let mut command = Server::command(&[]);
    command.arg("app.sock").current_dir(place.dir());
    let mut server = Server::started_by(&mut command, place.socket());
    answers(place.socket());
    for spelling in ["app.sock", "./app.sock", "unix:app.sock"] {
        let sent = run(send(spelling).current_dir(place.dir()));
        assert_eq!(sent.succeeds().text(), format!("{REPLY}\n"));
    }
    server.stop().is_clean();
    assert_eq!(place.names().len(), 0);
}

#[test]
fn a_kind_may_stand_before_the_name() {
    let place = Place::new();
    let mut address = std::ffi::OsString::from("unix:");
    address.push(place.socket());
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(&address), place.socket());
    answers(&address);
    answers(place.socket());
    server.stop().is_clean();
}

#[test]
fn a_file_may_begin_with_an_at_sign() {
    let place = Place::new();
    let path = place.at("@file");
    let mut command = Server::command(&[]);
    command.arg("./@file").current_dir(place.dir());
    let mut server = Server::started_by(&mut command, &path);
    answers(&path);
    server.stop().is_clean();
    assert_eq!(place.names().len(), 0);
}

#[test]
fn a_path_may_have_bytes_that_are_not_text() {
    let place = Place::new();
    whole_life(&place.at(OsStr::from_bytes(b"a\xff\xfeb.sock")));
}

#[test]
fn a_path_may_have_spaces_and_control_characters() {
    let place = Place::new();
    let path = place.at("a b\nc\u{1b}[2J\u{9b}d.sock");
    let server = Server::start(&path, &[]);
    assert!(
        !server.greeting.chars().any(char::is_control),
        "escaped: {:?}",
        server.greeting
    );
    answers(&path);
    let refused = run(Server::command(&[]).arg(&path));
    refused.fails(4, &[]);
    assert!(
        !refused.stderr.trim_end().chars().any(char::is_control),
        "escaped: {:?}",
        refused.stderr
    );
}

#[test]
fn an_abstract_name_is_served() {
    let place = Place::new();
    let name = format!("sockeye-test-{}-whole-life", std::process::id());
    let address = format!("@{name}");
    let serve = || {
        let mut command = Server::command(&[]);
        command.arg(&address).current_dir(place.dir());
        Server::started_by(&mut command, &address)
    };
    let mut server = serve();
    assert!(server.greeting.contains(&address), "{}", server.greeting);
    assert_eq!(place.names().len(), 0, "nothing in the file system");
    answers(&address);
    Client::connect_abstract(name.as_bytes()).converse("direct");
    run(Server::command(&[]).arg(&address)).fails(4, &[&address]);
    answers(&address);
    server.stop().is_clean();
    run(&mut send(&address)).fails(3, &[&address]);
    // The name is free again.
    let mut server = serve();
    answers(&address);
    server.stop().is_clean();
}

#[test]
fn an_abstract_name_may_have_bytes_that_are_not_text() {
    let name = format!("sockeye-test-{}-bytes", std::process::id());
    let address = format!("@{name}\\xff\\x00\\x01");
    let mut command = Server::command(&[]);
    let mut server = Server::started_by(command.arg(&address), &address);
    assert!(server.greeting.contains(&address), "{}", server.greeting);
    answers(&address);
    Client::connect_abstract(&[name.as_bytes(), b"\xff\0\x01"].concat()).converse("direct");
    server.stop().is_clean();
}

#[test]
fn a_draining_abstract_name_refuses_new_clients() {
    let name = format!("sockeye-test-{}-drain", std::process::id());
    let address = format!("@{name}");
    let mut command = Server::command(&["--drain", "60s"]);
    let mut server = Server::started_by(command.arg(&address), &address);
    let mut client = Client::connect_abstract(name.as_bytes());
    client.converse("first");
    client.send("hal");
    server.terminate();
    crate::support::eventually("new clients are refused", || {
        (run(&mut send(&address)).code == Some(3)).then_some(())
    });
    client.send("f\n");
    assert_eq!(client.line(), REPLY);
    assert_eq!(client.rest(), b"");
    server.ending().is_clean();
}

#[test]
fn a_stale_socket_with_a_long_name_is_told_from_a_live_one() {
    let place = Place::new();
    let dir = place.at("d".repeat(60));
    fs::create_dir_all(&dir).expect("our own place");
    // Bound under a short name by somebody else, then moved to where no address reaches.
    let short = place.at("s");
    stale_socket(&short);
    let stale = dir.join("s".repeat(120));
    fs::rename(&short, &stale).expect("moved");
    let live = dir.join("l".repeat(120));
    let _listener = std::os::unix::net::UnixListener::bind(&short).expect("a fresh path");
    fs::rename(&short, &live).expect("moved");
    run(Server::command(&[]).arg(&live)).fails(4, &[]);
    run(&mut send(&stale)).fails(3, &[]);
    let mut server = Server::start(&stale, &[]);
    answers(&stale);
    server.stop().is_clean();
}

#[test]
fn a_name_that_other_tools_cannot_see_is_warned_of_once() {
    let place = Place::new();
    let deep = place.at("d".repeat(120));
    fs::create_dir(&deep).expect("our own place");
    for (path, warnings) in [
        (place.socket(), 0),
        (deep.join("app.sock"), 0),
        (deep.join("n".repeat(120)), 1),
    ] {
        let mut server = Server::start(&path, &[]);
        let ending = server.stop();
        ending.is_clean();
        let log = ending.stderr;
        assert_eq!(log.matches("see this socket as").count(), warnings, "{log}");
    }
}
