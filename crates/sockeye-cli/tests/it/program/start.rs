//! What cannot be started is said at once; what cannot be started for now is tried again.

use std::fs;
use std::process::Command;

use super::serving;
use crate::support::{
    Client, Place, Server, copy_of_sockeye, is_root, require_peer, run, set_mode, skipped,
};

#[test]
fn what_can_never_be_started_is_said_before_anything_is_claimed() {
    let place = Place::new();
    let file = |name: &str, mode, content: &str| {
        fs::write(place.at(name), content).expect("our own place");
        set_mode(&place.at(name), mode);
        place.at(name).to_string_lossy().into_owned()
    };
    let directory = place.dir().to_string_lossy().into_owned();
    for (program, words) in [
        ("sockeye-no-such-program".to_owned(), ["no program", "PATH"]),
        (format!("{directory}/none"), ["no program", "none"]),
        (directory, ["not a regular file", "give"]),
        (file("data", 0o644, "#!/bin/sh\n"), ["executed", "chmod"]),
        (
            file("text", 0o755, "echo hello\n"),
            ["interpreter", "#!/bin/sh"],
        ),
        (
            file("script", 0o755, "#!/no/such/sh\n"),
            ["/no/such/sh", "first line"],
        ),
    ] {
        let before = place.snapshot();
        let tried = run(Server::command(&[])
            .arg(place.socket())
            .args(["--", &program]));
        tried.fails(1, &words);
        assert_eq!(place.snapshot(), before);
    }
}

#[test]
fn a_program_that_vanishes_closes_connections_until_it_is_back() {
    let place = Place::new();
    let path = place.at("program");
    fs::write(&path, "#!/bin/sh\necho here\n").expect("our own place");
    set_mode(&path, 0o755);
    let mut server = serving(&place, &[], &[path.to_str().expect("plain")]);
    assert_eq!(server.ask(""), "here\n");
    fs::rename(&path, place.at("away")).expect("our own place");
    server.client().is_cut();
    server
        .process
        .stderr
        .line("why", |line| line.contains("cannot start the program"));
    fs::rename(place.at("away"), &path).expect("our own place");
    assert_eq!(server.ask(""), "here\n");
    assert_eq!(server.stop().was_cut().aborted, 1);
}

/// A server whose user has room for some programs, but not for one for each of [`CLIENTS`].
#[track_caller]
fn with_little_room(place: &Place, uid: &str, options: &[&str]) -> Option<Server> {
    if !is_root() {
        skipped("another user is needed: not root");
        return None;
    }
    let mut command = Command::new(require_peer("setpriv")?);
    require_peer("prlimit")?;
    let copy = copy_of_sockeye(place);
    let home = place.at("home");
    fs::create_dir(&home).expect("our own place");
    set_mode(&home, 0o777);
    let socket = home.join("app.sock");
    command
        .args([
            "--reuid",
            uid,
            "--regid",
            uid,
            "--clear-groups",
            "prlimit",
            "--nproc=6",
        ])
        .arg(copy)
        .args(["serve", "-v", "--mode", "0666"])
        .args(options)
        .arg(&socket)
        .args(["--", "/bin/sh", "-c", "echo up; exec cat"]);
    Some(Server::started_by(&mut command, socket))
}

/// The server itself has five threads at most, so that one program always has room.
const CLIENTS: usize = 6;

#[test]
fn a_server_waits_for_room_for_a_process() {
    let place = Place::new();
    let Some(mut server) = with_little_room(&place, "64991", &[]) else {
        return;
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
    server
        .process
        .stderr
        .line("a retry", |line| line.contains("trying again"));
    clients.iter().for_each(Client::finish);
    for client in &mut clients {
        assert_eq!(client.rest(), b"up\n");
    }
    server.stop().is_clean();
}

#[test]
fn a_server_does_not_wait_for_ever_for_room_for_a_process() {
    let place = Place::new();
    let options = ["--first-byte-timeout", "100ms"];
    let Some(mut server) = with_little_room(&place, "64992", &options) else {
        return;
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
    server.process.stderr.line("why", |line| {
        line.contains("cannot start the program for") && line.contains("its connection is closed")
    });
    clients.iter().for_each(Client::finish);
    let mut answers: Vec<_> = clients.iter_mut().map(Client::rest).collect();
    answers.sort();
    answers.dedup();
    assert_eq!(answers, [&b""[..], b"up\n"], "the others go on");
    server.stop().was_cut();
}

#[test]
fn a_program_that_fails_is_reported() {
    let place = Place::new();
    let mut server = super::script(&place, &[], "exit 3");
    server.client().is_cut();
    server.process.stderr.line("the status", |line| {
        line.contains("exit status: 3") && line.contains("program ")
    });
    server.stop().is_clean();
}

#[test]
fn what_means_nothing_to_a_program_is_wrong_usage() {
    let place = Place::new();
    for options in [
        &["--reply", "x"][..],
        &["--echo"],
        &["--discard"],
        &["--framing", "raw"],
        &["--max-message", "1"],
        &["--idle-timeout", "1s"],
        &["--json"],
        &["--inetd-listener", "--max-connections", "1"],
    ] {
        let tried = run(Server::command(options)
            .arg(place.socket())
            .args(["--", "cat"]));
        tried.fails(2, &[options[0], "cannot be used with"]);
    }
    for options in [&["--inetd-listener"][..], &["--env", "ucspi"]] {
        run(Server::command(options).arg(place.socket())).fails(2, &["program"]);
    }
    assert_eq!(place.names(), Vec::<std::ffi::OsString>::new());
}
