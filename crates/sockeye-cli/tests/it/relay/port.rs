//! TCP ports on either side.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::relay;
use crate::support::{Client, PATIENCE, Place, Server, run};

/// A relay that listens on a free port, and the port.
#[track_caller]
fn start_at_port(options: &[&str], target: &str) -> (Server, u16) {
    let mut command = relay(options);
    let server = Server::started_by(command.args(["tcp:127.0.0.1:0", target]), "tcp:");
    let port = server.greeting.rsplit_once(":").expect("a port").1;
    let port = port.trim_end_matches(')').parse().expect("a number");
    (server, port)
}

#[track_caller]
fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

#[test]
fn a_tcp_client_reaches_a_unix_server() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let target = place.socket();
    let (mut relay, port) = start_at_port(&[], target.to_str().expect("plain"));
    assert!(
        relay
            .greeting
            .starts_with("listening on tcp:127.0.0.1:0 (tcp:127.0.0.1:"),
        "{}",
        relay.greeting
    );
    let mut client = connect(port);
    client.write_all(b"hello").expect("sent");
    client.shutdown(Shutdown::Write).expect("half-closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("EOF");
    assert_eq!(answer, "hello");
    relay.stop().is_clean();
    server.stop().is_clean();
}

#[test]
fn a_unix_client_reaches_a_tcp_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let place = Place::new();
    let front = place.at("front");
    let mut command = relay(&[]);
    command.arg(&front).arg(format!("tcp:localhost:{port}"));
    let mut relay = Server::started_by(&mut command, &front);
    let mut client = Client::connect(&front);
    client.send("question");
    client.finish();
    let (mut server, _) = listener.accept().expect("a connection");
    let mut question = String::new();
    server.read_to_string(&mut question).expect("EOF");
    assert_eq!(question, "question");
    server.write_all(b"answer").expect("sent");
    drop(server);
    assert_eq!(client.rest(), b"answer");
    assert!(relay.stop().stderr.contains("file descriptors are refused"));
}

#[test]
fn the_sender_of_a_file_descriptor_towards_tcp_gets_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let place = Place::new();
    let front = place.at("front");
    let mut command = relay(&[]);
    command.arg(&front).arg(format!("tcp:127.0.0.1:{port}"));
    let mut relay = Server::started_by(&mut command, &front);
    let mut send = crate::support::sockeye();
    let said = run(send
        .args(["send", "--fd", "/etc/hosts"])
        .arg(&front)
        .arg("x"));
    said.fails(5, &["refuses"]);
    relay.stop().is_clean();
}

#[test]
fn a_port_in_use_is_exit_4_and_a_target_port_without_a_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let address = format!("tcp:127.0.0.1:{port}");
    let said = run(relay(&["-q"]).args([&address, "@x"]));
    said.fails(4, &["cannot listen on", &address]);
    drop(listener);
    let said = run(relay(&["-q"]).args(["-", &address]));
    said.fails(3, &["cannot connect to", &address]);
}

#[test]
fn a_drain_lets_tcp_connections_end() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--echo"]);
    let target = place.socket();
    let (mut relay, port) = start_at_port(&["--drain", "60s"], target.to_str().expect("plain"));
    let mut client = connect(port);
    let mut answer = [0; 5];
    client.write_all(b"hello").expect("sent");
    client.read_exact(&mut answer).expect("an answer");
    relay.terminate();
    let begins = |line: &str| line.contains("stopping on SIGTERM");
    relay.process.stderr.line("the drain", begins);
    client.write_all(b"again").expect("sent");
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"again");
    drop(client);
    let ending = relay.ending();
    assert_eq!(ending.report().drained, 1, "{ending:#?}");
    server.stop().is_clean();
}
