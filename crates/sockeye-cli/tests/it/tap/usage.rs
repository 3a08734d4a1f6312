//! What a tap refuses, and with which exit code.

use std::process::Command;

use rustix::process::{Signal, kill_process};

use super::killed::guardian;
use super::{Echo, ask, started, tap};
use crate::support::{
    OtherUser, Place, Server, as_other_user, bind_file, copy_of_sockeye, in_own_mounts, is_root,
    run, skipped, sockeye, stale_socket,
};

#[test]
fn a_second_tap_is_refused() {
    let echo = Echo::start();
    let path = echo.place.socket();
    let mut first = started(&[], &path);
    run(&mut tap(&[], &path)).fails(4, &["another tap", &format!("pid {}", first.id())]);
    run(&mut tap(&["--restore"], &path)).fails(4, &["cannot restore", "another tap"]);
    let displaced = echo.place.at(".app.sock.tap");
    run(&mut tap(&[], &displaced)).fails(4, &["behind a tap"]);
    assert_eq!(ask(&path, b"x").unwrap(), b"x");
    first.signal(Signal::TERM);
    assert_eq!(first.finish().code, Some(0));
    assert!(echo.is_restored());
}

#[test]
fn nothing_is_tapped_where_no_server_is() {
    let place = Place::new();
    run(&mut tap(&[], &place.socket())).fails(3, &["app.sock", "no file"]);
    run(&mut tap(&["--restore"], &place.socket())).fails(3, &["restore"]);
    stale_socket(&place.socket());
    std::fs::write(place.at("file"), "data").unwrap();
    let before = place.snapshot();
    run(&mut tap(&[], &place.socket())).fails(3, &["nobody listens"]);
    run(&mut tap(&[], &place.at("file"))).fails(3, &["a regular file"]);
    run(&mut tap(&[], &place.at("none/app.sock"))).fails(3, &["none"]);
    assert_eq!(place.snapshot(), before);
}

#[test]
fn another_kind_is_named() {
    let echo = Echo::start();
    let path = echo.place.socket().display().to_string();
    let mut command = sockeye();
    run(command.args(["tap", &format!("seqpacket:{path}")]))
        .fails(3, &["a stream socket", "without a prefix"]);
    assert!(echo.is_restored());
}

#[test]
fn an_abstract_name_is_tapped_at_another_address_only() {
    let mut command = sockeye();
    run(command.args(["tap", "@sockeye-no-such-server"])).fails(2, &["--listen"]);
    run(Command::new(env!("CARGO_BIN_EXE_sockeye")).args(["tap", "--filter", "port=1", "/x"]))
        .fails(2, &["port"]);
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    if !is_root() {
        return skipped("not root");
    }
    let echo = Echo::start();
    let program = copy_of_sockeye(&echo.place);
    let before = echo.place.snapshot();
    let Some(mut command) = as_other_user(program.as_os_str()) else {
        return;
    };
    run(command.arg("tap").arg(echo.place.socket())).fails(5, &["directory"]);
    assert_eq!(echo.place.snapshot(), before);
}

#[test]
fn the_tap_of_another_user_is_refused_and_restored_by_that_one_only() {
    let Some(user) = OtherUser::new() else { return };
    let path = user.place.socket();
    let server = Server::started_by(&mut user.serve(&[]), &path);
    let as_user = |options: &[&str]| {
        let mut command = as_other_user(user.place.at("sockeye").as_os_str()).unwrap();
        run(command.arg("tap").args(options).arg(&path))
    };
    let mut first = started(&[], &path);
    let pid = format!("pid {}", first.id());
    as_user(&[]).fails(4, &["another tap", &pid]);
    as_user(&["--restore"]).fails(4, &["another tap", &pid]);
    kill_process(guardian(&first), Signal::KILL).unwrap();
    first.signal(Signal::KILL);
    first.wait();
    let before = user.place.snapshot();
    as_user(&[]).fails(5, &["another user", "as root"]);
    as_user(&["--restore"]).fails(5, &["cannot restore", "another user", "as root"]);
    assert_eq!(user.place.snapshot(), before);
    let restored = run(&mut tap(&["--restore"], &path));
    assert_eq!(restored.code, Some(0), "{restored:?}");
    drop(server);
}

#[test]
fn a_path_that_is_a_mount_is_named() {
    in_own_mounts(|| {
        let echo = Echo::start();
        let shown = echo.place.at("mounted.sock");
        bind_file(&echo.place.socket(), &shown);
        let before = echo.place.snapshot();
        run(&mut tap(&[], &shown)).fails(1, &["mount", "--listen"]);
        assert_eq!(echo.place.snapshot(), before);
        assert_eq!(ask(&shown, b"x").unwrap(), b"x");
    });
}
