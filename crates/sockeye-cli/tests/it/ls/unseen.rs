//! What permissions hide is not told as a fact.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use super::{connected, objects};
use crate::support::{
    Client, Place, Process, Server, as_other_user, copy_of_sockeye, eventually, is_root, run,
    set_mode, skipped,
};

/// Somebody who may not look into the processes of this user.
struct Nobody(PathBuf);

impl Nobody {
    fn new(place: &Place) -> Option<Self> {
        if !is_root() {
            skipped("not root, so there is no other user");
            return None;
        }
        let nobody = Self(copy_of_sockeye(place));
        as_other_user(nobody.0.as_os_str()).map(|_| nobody)
    }

    fn sockeye(&self) -> Command {
        as_other_user(self.0.as_os_str()).expect("as before")
    }

    fn ls(&self) -> Command {
        let mut command = self.sockeye();
        command.arg("ls");
        command
    }
}

#[test]
fn a_hidden_holder_is_unknown() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    let listener = UnixListener::bind(place.socket()).expect("a fresh path");
    let _pair = connected(&listener);
    let listed = run(nobody.ls().arg("--json").arg(place.socket()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    listed.explains(&["process", "root"]);
    let found = objects(&listed);
    assert_eq!(found.len(), 2, "{found:#?}");
    for row in &found {
        assert!(row["holders"].is_null(), "{row}");
    }
    assert!(found[1]["peer"]["holders"].is_null());
    assert!(found[1]["peer"]["inode"].is_u64());

    let listed = run(nobody.ls().arg(place.socket()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    let text = listed.text();
    let last = text.lines().last().expect("a row");
    assert!(last.contains("  ?  "), "{text}");
    assert!(last.contains("? (inode "), "{text}");

    // Where nothing of it is shown, nothing is missing.
    run(nobody
        .ls()
        .args(["-o", "state,address"])
        .arg(place.socket()))
    .succeeds();
    let pid = std::process::id().to_string();
    run(nobody.ls().args(["--pid", &pid])).fails(7, &["process", "root"]);
}

#[test]
fn what_is_not_found_may_be_hidden() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    // A listener in a namespace of which nobody knows, and a name that no file speaks for.
    let mut command = Command::new("unshare");
    command.args([
        "-n",
        env!("CARGO_BIN_EXE_sockeye"),
        "serve",
        "--mode",
        "0666",
    ]);
    if run(Command::new("unshare").args(["-n", "true"])).code != Some(0) {
        return skipped("unshare -n is not permitted");
    }
    let _server = Server::started_by(command.arg(place.socket()), place.socket());
    run(nobody.ls().arg(place.socket())).fails(7, &["process", "root"]);
    run(nobody.ls().arg(place.at("none"))).fails(3, &["none"]);
    let listed = run(nobody
        .ls()
        .args(["--json", "--stale", "--in"])
        .arg(place.dir()));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
    assert!(objects(&listed)[0]["state"].is_null(), "not proven stale");
    assert!(objects(&listed)[0]["holders"].is_null());
}

#[test]
fn what_is_all_ones_own_is_whole() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else {
        return;
    };
    set_mode(place.dir(), 0o777);
    let path = place.socket();
    let server = Server::started_by(nobody.sockeye().args(["serve", "--echo"]).arg(&path), &path);
    let client = Process::spawn_piped(nobody.sockeye().arg("connect").arg(&path));
    let seen = eventually("the connection", || {
        let listed = run(nobody.ls().arg("--json").arg(&path));
        listed.text().contains("\"connected\"").then_some(listed)
    });
    seen.succeeds();
    let found = objects(&seen);
    assert_eq!(found[1]["holders"][0]["pid"], server.process.id());
    assert_eq!(found[1]["peer"]["holders"][0]["pid"], client.id());
    run(nobody.ls().args(["--pid", &client.id().to_string()])).succeeds();
    // A stranger at the other end is not one's own.
    let mut stranger = Client::connect(&path);
    stranger.send("accepted\n");
    stranger.line();
    let listed = run(nobody.ls().arg(&path));
    assert_eq!(listed.code, Some(7), "{listed:#?}");
}
