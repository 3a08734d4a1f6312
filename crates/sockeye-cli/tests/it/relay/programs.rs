//! Programs that pass file descriptors or ask for credentials, through two relays in a row.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::start;
use crate::support::{Place, Process, Server, eventually, require_peer, run};

/// Two relays in front of `target`.
fn relays(place: &Place, target: &Path) -> [Server; 2] {
    let (inner, outer) = (place.at("inner"), place.at("outer"));
    [start(&[], &inner, &[target]), start(&[], &outer, &[&inner])]
}

#[test]
fn an_ssh_agent_works() {
    let (Some(agent), Some(add), Some(keygen)) = (
        require_peer("ssh-agent"),
        require_peer("ssh-add"),
        require_peer("ssh-keygen"),
    ) else {
        return;
    };
    let place = Place::new();
    let _agent = Process::spawn(Command::new(agent).arg("-D").arg("-a").arg(place.socket()));
    eventually("the agent listens", || {
        place.socket().exists().then_some(())
    });
    let relays = relays(&place, &place.socket());
    let key = place.at("key");
    let made = run(Command::new(keygen)
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key));
    assert_eq!(made.code, Some(0), "{made:#?}");
    let mut asked = [
        vec!["-l".into()],
        vec![key.into_os_string()],
        vec!["-l".into()],
    ]
    .map(|arguments| {
        run(Command::new(&add)
            .args(arguments)
            .env("SSH_AUTH_SOCK", &relays[1].path))
    });
    let [none, added, one] = asked.each_mut();
    assert_eq!(none.code, Some(1), "{none:#?}");
    assert!(none.text().contains("no identities"), "{none:#?}");
    assert_eq!(added.code, Some(0), "{added:#?}");
    assert!(one.text().contains("ED25519"), "{one:#?}");
}

#[test]
fn tmux_works_whose_clients_pass_their_terminal() {
    let Some(tmux) = require_peer("tmux") else {
        return;
    };
    let place = Place::new();
    let on = |socket: &Path, arguments: &[&str]| {
        let mut command = Command::new(&tmux);
        command.args(["-f", "/dev/null", "-S"]).arg(socket);
        run(command.args(arguments))
    };
    let first = on(&place.socket(), &["new-session", "-d", "-s", "first", "sh"]);
    assert_eq!(first.code, Some(0), "{first:#?}");
    let relays = relays(&place, &place.socket());
    let front = &relays[1].path;
    on(front, &["new-session", "-d", "-s", "second", "sh"]).succeeds();
    let sessions = on(front, &["list-sessions", "-F", "#S"]);
    assert_eq!(sessions.succeeds().text(), "first\nsecond\n");
    // The server reads and writes files by way of the client.
    let content = "0123456789".repeat(30_000);
    fs::write(place.at("content"), &content).expect("our own place");
    let path = place.at("content").display().to_string();
    on(front, &["load-buffer", &path]).succeeds();
    assert_eq!(on(front, &["save-buffer", "-"]).succeeds().text(), content);
    on(front, &["kill-server"]);
}

const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"#;

#[test]
fn a_message_bus_works() {
    let (Some(daemon), Some(busctl)) = (require_peer("dbus-daemon"), require_peer("busctl")) else {
        return;
    };
    let place = Place::new();
    let socket = place.socket();
    let configuration = CONFIGURATION.replace("SOCKET", &socket.display().to_string());
    fs::write(place.at("bus.conf"), configuration).expect("our own place");
    let mut command = Command::new(daemon);
    command.arg(format!("--config-file={}", place.at("bus.conf").display()));
    let _daemon = Process::spawn(command.args(["--nofork", "--nopidfile"]));
    eventually("the bus listens", || socket.exists().then_some(()));
    let relays = relays(&place, &socket);
    let asked = run(Command::new(busctl)
        .arg(format!("--address=unix:path={}", relays[1].path.display()))
        .args(["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus"])
        .args(["GetConnectionUnixUser", "s", "org.freedesktop.DBus"]));
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(asked.succeeds().text(), format!("u {user}\n"));
}
