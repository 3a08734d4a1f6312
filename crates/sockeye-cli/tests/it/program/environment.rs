//! The same variables with the same values as under s6-ipcserver and unixserver.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket};

use crate::support::{Client, Place, Process, eventually, require_peer, sockeye};

type Variables = BTreeMap<String, String>;

/// The environment of each connection. The shell adds its own pid, the same way under every server.
const DUMP: [&str; 3] = ["/bin/sh", "-c", "env; echo OWN=$$; echo; exec cat"];

/// Two connections at a time, the second one from a client with a path of its own, and what the
/// program has each.
#[track_caller]
fn told(server: &mut Command) -> [Variables; 2] {
    let place = Place::new();
    server
        .current_dir(place.dir())
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("KEPT", "as it was")])
        .envs([
            ("PROTO", "old"),
            ("IPCREMOTEPATH", "old"),
            ("UNIXREMOTEPID", "old"),
        ]);
    let _server = Process::spawn(server.args(DUMP));
    let mut first = eventually("the server listens", || {
        UnixStream::connect(place.socket()).ok().map(Client::of)
    });
    let first_told = variables(&mut first);
    let second = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let name = SocketAddrUnix::new(place.at("client")).expect("a short path");
    bind(&second, &name).expect("a fresh path");
    connect(
        &second,
        &SocketAddrUnix::new(place.socket()).expect("short"),
    )
    .expect("it listens");
    let mut second_told = variables(&mut Client::of(second.into()));
    let remote = second_told.get_mut("IPCREMOTEPATH");
    if let Some(path) = remote.filter(|path| **path == place.at("client").to_string_lossy()) {
        *path = "the client's".to_owned();
    }
    [first_told, second_told]
}

#[track_caller]
fn variables(client: &mut Client) -> Variables {
    let mut told = Variables::new();
    loop {
        let line = client.line();
        let Some((name, value)) = line.split_once('=') else {
            break;
        };
        told.insert(name.to_owned(), value.to_owned());
    }
    let own = told.remove("OWN").expect("the shell says it");
    if let Some(pid) = told.get_mut("UNIXLOCALPID") {
        assert_eq!(*pid, own, "the pid of the program itself");
        *pid = "its own".to_owned();
    }
    // The directory is another one each time.
    told.remove("PWD");
    told
}

/// Whatever theirs has, ours has with the same value.
#[track_caller]
fn agrees(ours: &Variables, theirs: &Variables) {
    for (name, value) in theirs {
        assert_eq!(ours.get(name), Some(value), "{name} in {ours:#?}");
    }
}

#[test]
fn a_program_has_the_environment_of_s6_ipcserver() {
    let Some(s6) = require_peer("s6-ipcserver") else {
        return;
    };
    let theirs = told(Command::new(s6).arg("app.sock"));
    let ours = told(sockeye().args(["serve", "app.sock", "--"]));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        agrees(ours, theirs);
        assert_eq!(
            ours["IPCLOCALPATH"], "app.sock",
            "as s6-ipcserver-access has it"
        );
        assert_eq!(ours["IPCREMOTEPID"], std::process::id().to_string());
    }
    assert_eq!(theirs[1]["IPCCONNNUM"], "2", "the comparison was worth it");
    assert_eq!(theirs[1]["IPCREMOTEPATH"], "the client's");
}

#[test]
fn a_program_has_the_environment_of_unixserver() {
    let Some(unixserver) = require_peer("unixserver") else {
        return;
    };
    let theirs = told(Command::new(unixserver).args(["app.sock", "--"]));
    let ours = told(sockeye().args(["serve", "--env", "ucspi", "app.sock", "--"]));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        agrees(ours, theirs);
    }
    assert_eq!(theirs[0]["UNIXLOCALPID"], "its own");
}
