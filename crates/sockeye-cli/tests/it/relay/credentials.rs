//! `--credentials client`: the target sees the user of the client.

use std::path::Path;
use std::process::Command;

use super::relay;
use crate::support::{
    Client, Place, Server, as_other_user, copy_of_sockeye, is_root, optional_peer, run, skipped,
};

/// A place where others may connect, and a copy of the command that they can reach.
struct TwoUsers {
    place: Place,
    setpriv: std::path::PathBuf,
    program: std::path::PathBuf,
}

impl TwoUsers {
    /// `None`, and says so, where the tests may not be somebody else.
    fn new() -> Option<Self> {
        if !is_root() {
            skipped("needs root, to be two users");
            return None;
        }
        let setpriv = optional_peer("setpriv")?;
        let place = Place::new();
        let program = copy_of_sockeye(&place);
        Some(Self {
            place,
            setpriv,
            program,
        })
    }

    /// `sockeye send` as this user, who is in group 64999 too.
    fn send(&self, uid: &str, address: &str) -> Command {
        let mut command = Command::new(&self.setpriv);
        command.args([&format!("--reuid={uid}"), "--regid=65534", "--groups=64999"]);
        command.arg(&self.program).args(["send", address, "hello"]);
        command
    }
}

fn address(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

#[test]
fn the_target_sees_the_user_and_the_groups_of_each_client() {
    let Some(users) = TwoUsers::new() else {
        return;
    };
    for kind in ["unix", "seqpacket"] {
        let (target, front) = (users.place.at("target"), users.place.at("front"));
        // Who is not in the group of the client is refused.
        let options = ["--mode", "0666", "--allow-group", "64999"];
        let mut command = Server::command(&options);
        let mut server = Server::started_by(command.arg(address(kind, &target)), &target);
        let mut command = relay(&["--mode", "0666", "--credentials", "client"]);
        command.args([address(kind, &front), address(kind, &target)]);
        let mut relay = Server::started_by(&mut command, &front);
        for uid in ["65534", "1", "65534", "2"] {
            run(&mut users.send(uid, &address(kind, &front))).succeeds();
        }
        relay.stop().is_clean();
        let ending = server.stop();
        ending.is_clean();
        let uids: Vec<&str> = ending
            .stdout
            .lines()
            .filter_map(|line| line.split(" uid ").nth(1)?.split(':').next())
            .collect();
        assert_eq!(uids, ["65534", "1", "65534", "2"], "{ending:#?}");
    }
}

#[test]
fn a_target_that_the_client_may_not_reach_is_not_reached_with_the_rights_of_the_relay() {
    let Some(users) = TwoUsers::new() else {
        return;
    };
    let (target, front) = (users.place.at("target"), users.place.at("front"));
    let mut server = Server::start(&target, &["--mode", "0600"]);
    let mut command = relay(&["--mode", "0666", "--credentials", "client"]);
    let mut relay = Server::started_by(command.arg(&front).arg(&target), &front);
    let front = front.to_str().expect("plain");
    let said = run(&mut users.send("65534", front));
    assert_eq!(said.text(), "", "{said:#?}");
    let line = relay
        .process
        .stderr
        .line("the reason", |line| line.contains("warning"));
    assert!(
        line.contains("cannot connect to ") && line.contains("65534"),
        "{line}"
    );
    // Our own user may.
    Client::connect(front).converse("hello");
    assert_eq!(relay.stop().was_cut().aborted, 1);
    assert_eq!(server.stop().is_clean().served, 1);
}

#[test]
fn it_takes_root() {
    let place = Place::new();
    let program = copy_of_sockeye(&place);
    let Some(mut command) = as_other_user(program.as_os_str()) else {
        return;
    };
    place.set_mode(0o777);
    let (front, target) = (place.at("front"), place.socket());
    command.args(["relay", "--credentials", "client"]);
    run(command.arg(front).arg(target)).fails(5, &["take root", "CAP_SETUID"]);
}
