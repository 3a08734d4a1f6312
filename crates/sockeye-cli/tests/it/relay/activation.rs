//! Sockets that were inherited: listeners of a service manager, and connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::{Relayed, relay};
use crate::support::{Client, PATIENCE, Place, Process, Server, require_peer};

/// `systemd-socket-activate OPTIONS sockeye relay ARGUMENTS`, once it listens.
#[track_caller]
fn activated(options: &[&str], listen: &str, arguments: &[&str]) -> Option<Process> {
    let mut command = Command::new(require_peer("systemd-socket-activate")?);
    command.args(["-l", listen]).args(options);
    command.arg(env!("CARGO_BIN_EXE_sockeye"));
    let process = Process::spawn(command.arg("relay").args(arguments));
    process
        .stderr
        .line("the socket", |line| line.contains(&format!("{listen} as ")));
    Some(process)
}

#[test]
fn an_activated_relay_ends_when_nobody_is_connected() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let (target, front) = (place.socket(), place.at("front"));
    let arguments = [
        "--exit-idle",
        "300ms",
        "systemd:",
        target.to_str().expect("plain"),
    ];
    let Some(mut process) = activated(&[], front.to_str().expect("plain"), &arguments) else {
        return;
    };
    let mut client = Client::connect(&front);
    client.send("first\n");
    assert_eq!(client.line(), "first");
    // Open, though idle: it does not end.
    client.hears_nothing_for(std::time::Duration::from_millis(600));
    client.send("second\n");
    assert_eq!(client.line(), "second");
    drop(client);
    let ended = process.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for word in ["nobody was connected for 300ms (--exit-idle)", "served 1, "] {
        assert!(ended.stderr.contains(word), "{ended:#?}");
    }
    assert!(front.exists(), "the file is the manager's");
    server.stop().is_clean();
}

#[test]
fn an_activated_relay_of_a_tcp_port_ends_too() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let target = place.socket();
    let arguments = [
        "--exit-idle",
        "100ms",
        "systemd:",
        target.to_str().expect("plain"),
    ];
    let Some(mut process) = activated(&[], &address, &arguments) else {
        return;
    };
    let mut client = TcpStream::connect(&address).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("not zero");
    client.write_all(b"hello").expect("sent");
    client.shutdown(Shutdown::Write).expect("half-closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("EOF");
    assert_eq!(answer, "hello");
    let ended = process.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    server.stop().is_clean();
}

/// Accept=yes of a .socket unit: a relay for each connection.
#[test]
fn a_connection_of_a_service_manager_is_joined() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let (target, front) = (place.socket(), place.at("front"));
    let arguments = ["-v", "systemd:", target.to_str().expect("plain")];
    let options = ["--accept", "--fdname=connection"];
    let front_name = front.to_str().expect("plain");
    let Some(process) = activated(&options, front_name, &arguments) else {
        return;
    };
    for word in ["one", "two"] {
        let mut client = Client::connect(&front);
        client.send(format!("{word}\n"));
        client.finish();
        assert_eq!(client.rest(), format!("{word}\n").as_bytes());
    }
    process
        .stderr
        .line("its end", |line| line.contains(", ended: "));
    assert_eq!(server.stop().is_clean().served, 2);
}

#[test]
fn an_inherited_connection_is_joined_and_the_relay_ends() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut command = relay(&["-v"]);
    command.arg("fd:0").arg(place.socket());
    let mut process = Process::spawn_reading(&mut command, Stdio::from(OwnedFd::from(theirs)));
    let mut client = Client::of(ours);
    client.send("hello\n");
    assert_eq!(client.line(), "hello");
    client.finish();
    assert_eq!(client.rest(), b"");
    let ended = process.finish();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    server.stop().is_clean();
}

#[test]
fn an_inherited_connection_is_the_target_of_one_client() {
    let place = Place::new();
    let front = place.at("front");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut command = relay(&[]);
    command.arg(&front).arg("fd:0");
    let process = Process::spawn_reading(&mut command, Stdio::from(OwnedFd::from(theirs)));
    let mut relay = Server::of(process, &front);
    let mut client = Client::connect(&front);
    client.send("question\n");
    let mut target = Client::of(ours);
    assert_eq!(target.line(), "question");
    target.send("answer\n");
    assert_eq!(client.line(), "answer");
    UnixStream::connect(&front).expect_err("one client only");
    drop(target);
    assert_eq!(client.rest(), b"");
    drop(client);
    assert_eq!(relay.ending().is_clean().served, 1);
}

#[test]
fn exit_idle_serves_who_waits() {
    // Whoever connects before it ends is served: many rounds of the race.
    for round in 0..20 {
        let mut relayed = Relayed::start(&["--exit-idle", "20ms"]);
        let mut served = 0;
        while let Ok(stream) = UnixStream::connect(relayed.front()) {
            let mut client = Client::of(stream);
            client.send("hello\n");
            client.finish();
            assert_eq!(client.rest(), b"hello\n", "round {round}");
            served += 1;
            if served > 3 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(18));
        }
        let report = relayed.relay.ending().is_clean();
        assert_eq!(report.served + report.drained, served, "round {round}");
    }
}
