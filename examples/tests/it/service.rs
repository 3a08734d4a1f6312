//! `service` notifies the service manager, and systemd accepts its unit.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Place, Running, netcat, peer, program};

const UNIT: &str = include_str!("../../systemd/example.service");

/// The service manager, as far as it hears of the daemon: the first message of each kind.
const MANAGER: &str = r#"
import socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
print("bound", flush=True)
heard = set()
while "STOPPING=1" not in heard:
    for message in manager.recv(1000).decode().splitlines():
        if message not in heard:
            print(message, flush=True)
            heard.add(message)
"#;

#[test]
fn a_service_says_when_it_is_ready_that_it_lives_and_when_it_stops() {
    let place = Place::new();
    let Some(mut python) = peer("python3") else {
        return;
    };
    let (socket, notify) = (place.socket(), place.at("notify"));
    let manager = Running::start(python.args(["-c", MANAGER, &notify]));
    manager.expect("bound");
    let mut command = Command::new(program("service"));
    let daemon = command.arg(&socket).env("NOTIFY_SOCKET", &notify);
    let daemon = Running::start(daemon.env("WATCHDOG_USEC", "1000000"));
    daemon.expect_log(&format!("listening on {socket}"));
    manager.expect("READY=1");
    manager.expect("WATCHDOG=1");
    if let Some(answers) = netcat(&socket, b"hello\n") {
        assert_eq!(answers, ["hello"]);
    }
    daemon.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    let (log, code) = daemon.ended();
    assert!(log[0].contains("aborted 0") && code == Some(0), "{log:?}");
    assert!(!fs::exists(&socket).unwrap());
}

#[test]
fn systemd_accepts_the_unit() {
    let Some(verified) = verify(UNIT) else { return };
    assert_eq!(verified, (Some(0), String::new()));
    let misspelt = verify(&UNIT.replace("NoNewPrivileges", "NoNewPrivilege")).unwrap();
    assert!(misspelt.1.contains("NoNewPrivilege"), "{misspelt:?}");
}

/// The exit code and the complaints of `systemd-analyze verify` about a unit.
fn verify(unit: &str) -> Option<(Option<i32>, String)> {
    let place = Place::new();
    let mut command = peer("systemd-analyze")?;
    let program = program("service").into_os_string().into_string().unwrap();
    let path = place.at("example.service");
    fs::write(&path, unit.replace("/usr/local/bin/service", &program)).unwrap();
    let verified = command
        .args(["verify", "--man=no", &path])
        .output()
        .unwrap();
    let complaints = String::from_utf8(verified.stderr).unwrap();
    Some((verified.status.code(), complaints))
}
