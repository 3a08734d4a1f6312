//! `activation` serves a socket that systemd has opened, and says when it is ready.

use std::process::Command;

use crate::support::{Place, Running, netcat, peer, program};

/// The service manager, as far as it hears of the daemon.
const MANAGER: &str = r#"
import socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1].replace("@", "\0"))
print("bound")
for _ in range(2):
    print(manager.recv(100).decode())
"#;

#[test]
fn an_activated_daemon_says_when_it_is_ready_and_when_it_stops() {
    let (place, name) = (Place::new(), "notify.sock");
    let (socket, notify) = (place.socket(), place.at(name));
    let Some(manager) = manager(&notify) else {
        return;
    };
    let Some(mut systemd) = peer("systemd-socket-activate") else {
        return;
    };
    let notify = format!("NOTIFY_SOCKET={notify}");
    let daemon = Running::start(
        systemd
            .args(["-l", &socket, "-E", &notify])
            .arg(program("activation")),
    );
    // systemd-socket-activate
    daemon.expect_log(&format!("Listening on {socket} as 3."));
    // The first connection starts it.
    if let Some(answers) = netcat(&socket, b"hello\n") {
        assert_eq!(answers, ["hello"]);
    }
    manager.expect("READY=1");
    daemon.stop();
    assert_eq!(manager.rest(), ["STOPPING=1"]);
}

#[test]
fn with_a_path_it_makes_the_socket_itself() {
    let place = Place::new();
    // A name that nobody else has, since nobody else has the directory.
    let notify = format!("@{}", place.at("notify"));
    let Some(manager) = manager(&notify) else {
        return;
    };
    let socket = place.socket();
    let mut command = Command::new(program("activation"));
    let daemon = Running::start(command.arg(&socket).env("NOTIFY_SOCKET", notify));
    daemon.expect_log(&format!("listening on {socket}"));
    manager.expect("READY=1");
    if let Some(answers) = netcat(&place.socket(), b"hello\n") {
        assert_eq!(answers, ["hello"]);
    }
    daemon.stop();
    assert_eq!(manager.rest(), ["STOPPING=1"]);
    place.assert_empty();
}

fn manager(name: &str) -> Option<Running> {
    let manager = Running::start(peer("python3")?.args(["-uc", MANAGER, name]));
    manager.expect("bound");
    Some(manager)
}
