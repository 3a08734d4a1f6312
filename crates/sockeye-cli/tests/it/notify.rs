//! `sd_notify(3)`: the test listens in place of the service manager.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Client, PATIENCE, Place, Process, Server};

/// The socket of a manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).expect("a fresh address");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self(socket)
    }

    /// The next message, as lines.
    #[track_caller]
    fn message(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let count = self.0.recv(&mut buffer).expect("a message in time");
        let text = str::from_utf8(&buffer[..count]).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

/// `sockeye serve` that is to tell `notify_socket`.
fn told(place: &Place, notify_socket: &str) -> Command {
    let mut command = Server::command(&[]);
    command.arg(place.socket());
    command.env("NOTIFY_SOCKET", notify_socket);
    command
}

fn at_path(place: &Place) -> (Manager, String) {
    let path = place.at("notify");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).expect("a short path"));
    (manager, path.to_str().expect("a plain path").to_owned())
}

#[test]
fn the_manager_is_notified_of_the_start_and_of_the_drain() {
    let place = Place::new();
    let name = format!("sockeye-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let by_name = (Manager::at(&address), format!("@{name}"));
    for (manager, socket) in [at_path(&place), by_name] {
        let mut process = Process::spawn(&mut told(&place, &socket));
        let path = place.socket();
        let status = format!("STATUS=listening on {}", path.display());
        assert_eq!(manager.message(), ["READY=1", &status], "{socket}");
        // Once the manager is notified, nobody is refused.
        let mut client = Client::connect(&path);
        client.send("in the ");
        process.signal(Signal::TERM);
        assert_eq!(manager.message(), ["STOPPING=1", "STATUS=draining"]);
        assert!(
            !process.ends_within(std::time::Duration::ZERO),
            "at the beginning"
        );
        client.send("middle\n");
        client.rest();
        assert_eq!(process.finish().code, Some(0));
    }
}

#[test]
fn a_path_cannot_tell_the_manager_anything() {
    let place = Place::new();
    let (manager, socket) = at_path(&place);
    let path = place.at("a\nMAINPID=1");
    let mut command = Server::command(&[]);
    let mut process = Process::spawn(command.arg(&path).env("NOTIFY_SOCKET", socket));
    let message = manager.message();
    assert_eq!(message.len(), 2, "{message:?}");
    assert!(message[1].ends_with("a\\x0aMAINPID=1"), "{message:?}");
    process.signal(Signal::TERM);
    assert_eq!(process.finish().code, Some(0));
}

#[test]
fn a_watchdog_is_kept_quiet() {
    let place = Place::new();
    let (manager, socket) = at_path(&place);
    let mut command = told(&place, &socket);
    let process = Process::spawn(command.env("WATCHDOG_USEC", "200000"));
    assert_eq!(manager.message()[0], "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.message(), ["WATCHDOG=1"]);
    }
    // Also while it drains.
    let mut client = Client::connect(place.socket());
    client.send("in the ");
    process.signal(Signal::TERM);
    while manager.message()[0] != "STOPPING=1" {}
    assert_eq!(manager.message(), ["WATCHDOG=1"]);
}

/// It is set for the main process of the service, and inherited by others.
#[test]
fn a_watchdog_of_another_process_is_left_alone() {
    for (name, value) in [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "0")] {
        let place = Place::new();
        let (manager, socket) = at_path(&place);
        let mut command = told(&place, &socket);
        command.env("WATCHDOG_USEC", "1000").env(name, value);
        let mut process = Process::spawn(&mut command);
        assert_eq!(manager.message()[0], "READY=1");
        // A message that is answered takes longer than many a tick.
        Client::connect(place.socket()).converse("hello");
        process.signal(Signal::TERM);
        assert_eq!(manager.message()[0], "STOPPING=1");
        let ended = process.finish();
        assert_eq!(ended.code, Some(0));
        assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
    }
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_not_to_serve() {
    let place = Place::new();
    let nobody = place.at("nobody");
    for socket in [nobody.to_str().expect("a plain path"), "vsock:2:1", "@"] {
        let mut command = told(&place, socket);
        let mut server = Server::started_by(&mut command, place.socket());
        server.ask("hello\n");
        let ending = server.stop();
        ending.is_clean();
        let warned = format!("sockeye: warning: cannot notify {socket}: ");
        assert!(ending.stderr.contains(&warned), "{}", ending.stderr);
    }
    assert!(fs::symlink_metadata(nobody).is_err());
}
