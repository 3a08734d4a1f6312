//! SIGHUP.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::clients::Clients;
use super::{Orphan, TAKEOVER, inode, successor};
use crate::support::{
    Place, REPLY, Server, copy_of_sockeye, eventually, is_root, require_peer, skipped,
};

#[test]
fn sighup_restarts_the_same_command_and_no_client_notices() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--takeover", "--drain", "5s"]);
    let before = inode(&server.path);
    let clients = Clients::start(4, &server.path);
    server.process.signal(Signal::HUP);
    let first = successor(&server.process);
    assert_eq!(server.process.wait().code(), Some(0));
    // And once more: its arguments are still the same.
    let enough = clients.answered() + 50;
    eventually("clients are served", || {
        (clients.answered() >= enough).then_some(())
    });
    let arguments = || fs::read(format!("/proc/{}/cmdline", first.0.as_raw_pid())).unwrap();
    let said = String::from_utf8(arguments()).unwrap();
    assert!(said.contains("--takeover\0--drain\x005s\0"), "{said:?}");
    kill_process(first.0, Signal::HUP).expect("it serves");
    let second = eventually("the successor's successor", || {
        let said = server.process.stderr.so_far();
        let (whole, _) = said.rsplit_once('\n')?;
        let mut lines = whole
            .lines()
            .filter(|line| line.starts_with("handed over to pid "));
        let pid = lines.nth(1)?.split_whitespace().nth(4)?.parse().ok()?;
        Some(Orphan(Pid::from_raw(pid)?))
    });
    assert_ne!(first.0, second.0);
    assert_eq!(server.ask("who is it\n").trim_end(), REPLY);
    assert_eq!(inode(&server.path), before);
    clients.finish();
    kill_process(second.0, Signal::TERM).expect("it serves");
    server.await_release();
}

#[test]
fn a_new_binary_that_fails_leaves_the_old_one_serving() {
    let place = Place::new();
    let sockeye = copy_of_sockeye(&place);
    let mut command = Command::new(&sockeye);
    command.args(["serve", "--takeover"]).arg(place.socket());
    let mut server = Server::started_by(&mut command, place.socket());
    // What a package manager does: the old file goes, another gets its name.
    let upgrade = |content: &str| {
        let new = place.at("new");
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, Path::new(&sockeye)).unwrap();
    };
    for (content, words) in [
        ("#!/nonexistent\n", "cannot restart on SIGHUP"),
        ("#!/bin/sh\nexit 3\n", "exit status: 3"),
    ] {
        upgrade(content);
        server.process.signal(Signal::HUP);
        let line = server
            .process
            .stderr
            .line(words, |line| line.contains(words));
        assert!(line.ends_with("still serving"), "{line}");
        assert_eq!(server.ask("still here\n").trim_end(), REPLY);
    }
    // And one that works, by another name.
    upgrade(&format!(
        "#!/bin/sh\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_sockeye")
    ));
    server.process.signal(Signal::HUP);
    let new = successor(&server.process);
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(server.ask("hello\n").trim_end(), REPLY);
    kill_process(new.0, Signal::TERM).expect("it serves");
    server.await_release();
}

#[test]
fn without_takeover_sighup_drains() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &[]);
    let mut client = server.client();
    client.send("half a mes");
    server.process.signal(Signal::HUP);
    server.await_refusal();
    client.send("sage\n");
    assert_eq!(client.line(), REPLY);
    let ending = server.ending();
    assert!(ending.stderr.contains("stopping on SIGHUP"), "{ending:?}");
    ending.is_clean();
}

#[test]
fn under_nohup_sighup_does_nothing() {
    let place = Place::new();
    let mut server = Server::start_after("trap '' HUP", place.socket(), TAKEOVER);
    server.process.signal(Signal::HUP);
    assert_eq!(server.ask("still here\n").trim_end(), REPLY);
    let ending = server.stop();
    assert!(!ending.stderr.contains("SIGHUP"), "{ending:?}");
    ending.is_clean();
}

#[test]
fn process_1_does_not_leave_its_namespace_to_die() {
    if !is_root() {
        return skipped("not root");
    }
    let Some(unshare) = require_peer("unshare") else {
        return;
    };
    let place = Place::with_socket("hidden-process-1.sock");
    let mut command = Command::new(unshare);
    command
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            env!("CARGO_BIN_EXE_sockeye"),
        ])
        .args(["serve", "--takeover"])
        .arg(place.socket());
    let server = Server::started_by(&mut command, place.socket());
    let children = format!("/proc/{0}/task/{0}/children", server.process.id());
    let pid = fs::read_to_string(children).unwrap();
    let first = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(first, Signal::HUP).unwrap();
    server
        .process
        .stderr
        .line("it says why", |line| line.contains("process 1"));
    assert_eq!(server.ask("still here\n").trim_end(), REPLY);
}

#[test]
fn readiness_is_signalled_once() {
    let place = Place::new();
    // Readiness goes to standard output here, so that the test can read it.
    let options = ["--takeover", "--ready-fd", "3"];
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 3>&1"])
        .arg(env!("CARGO_BIN_EXE_sockeye"))
        .arg("serve")
        .args(options)
        .arg("--discard")
        .arg(place.socket());
    let mut server = Server::started_by(&mut command, place.socket());
    server.process.signal(Signal::HUP);
    let new = successor(&server.process);
    assert_eq!(server.process.wait().code(), Some(0));
    kill_process(new.0, Signal::TERM).expect("it serves");
    server.await_release();
    assert_eq!(server.process.stdout.all(), b"\n");
}

/// The new process would find nobody and serve on.
#[test]
fn a_server_that_is_stopped_takes_the_one_it_has_just_started_with_it() {
    let place = Place::new();
    let sockeye = copy_of_sockeye(&place);
    let mut command = Command::new(&sockeye);
    command.args(["serve", "--takeover"]).arg(place.socket());
    let mut server = Server::started_by(&mut command, place.socket());
    // It is still on its way when the signal comes: it waits for somebody to write.
    let fifo = place.at("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let new = place.at("new");
    let fifo = fifo.to_str().expect("a plain path");
    fs::write(&new, format!("#!/bin/sh\nread line < {fifo}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, Path::new(&sockeye)).unwrap();

    server.process.signal(Signal::HUP);
    let restarting = |line: &str| line.starts_with("restarting on SIGHUP");
    server.process.stderr.line("the restart", restarting);
    server.process.signal(Signal::TERM);
    // Both share standard error, so this waits for the end of both.
    let ended = server.process.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!ended.stderr.contains("still serving"), "{ended:#?}");
}
