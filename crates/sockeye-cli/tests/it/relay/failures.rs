//! What a relay cannot pass on ends the connection with an error, on both sides and in the exit code.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;

use rustix::net::{SendFlags, send};

use super::{Relayed, relay};
use crate::support::{Client, Place, Records, Server};

#[test]
fn a_record_over_the_limit_is_an_error() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket().display());
    let mut server = Server::started_by(Server::command(&["--echo"]).arg(&address), place.socket());
    let front = place.at("front");
    let mut command = relay(&["--max-record", "1000"]);
    command
        .arg(format!("seqpacket:{}", front.display()))
        .arg(&address);
    let mut relay = Server::started_by(&mut command, &front);
    let client = Records::connect(&front);
    client.send(&[1; 1000]);
    assert_eq!(client.next(), [1; 1000]);
    client.send(&[1; 1001]);
    let line = relay
        .process
        .stderr
        .line("the reason", |line| line.contains("warning"));
    assert!(
        line.contains("a record of 1001 bytes, and at most 1000"),
        "{line}"
    );
    drop(client);
    let ending = relay.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    assert!(ending.stderr.ends_with(", failed 1\n"), "{ending:#?}");
    server.stop();
}

#[test]
fn out_of_band_data_is_an_error() {
    let mut relayed = Relayed::start(&[]);
    let mut client = Client::connect(relayed.front());
    client.send("hello\n");
    client.line();
    send(client.stream(), b"!", SendFlags::OOB).expect("sent");
    let stderr = &relayed.relay.process.stderr;
    let line = stderr.line("the reason", |line| line.contains("warning"));
    assert!(line.contains("out-of-band"), "{line}");
    client.rest_or_reset();
    assert_eq!(relayed.relay.stop().code, Some(7));
}

#[test]
fn a_half_close_timeout_ends_who_does_not_answer() {
    let place = Place::new();
    let mut server = Server::start(place.socket(), &["--discard"]);
    let silent = std::os::unix::net::UnixListener::bind(place.at("silent")).expect("fresh");
    let front = place.at("front");
    let mut relay = super::start(
        &["--half-close-timeout", "200ms"],
        &front,
        &[place.at("silent")],
    );
    let mut client = Client::connect(&front);
    client.send("question");
    client.finish();
    let (_kept, _) = silent.accept().expect("the relay connects");
    client.rest_or_reset();
    let stderr = &relay.process.stderr;
    stderr.line("the reason", |line| line.contains("warning"));
    assert_eq!(relay.stop().code, Some(7));
    server.stop().is_clean();
}

#[test]
fn a_flood_of_failures_is_cut_in_the_log() {
    let place = Place::new();
    let front = place.at("front");
    let mut relay = super::start(&[], &front, &[place.at("absent")]);
    for _ in 0..100 {
        match UnixStream::connect(&front) {
            Ok(stream) => Client::of(stream).is_cut(),
            Err(error) => panic!("{:?}", error.kind() == ErrorKind::ConnectionRefused),
        }
    }
    let ending = relay.stop();
    assert_eq!(ending.was_cut().aborted, 100);
    let lines = ending.stderr.matches("cannot connect to").count();
    assert!(lines < 100, "{lines}");
    assert!(ending.stderr.contains("were withheld"), "{ending:#?}");
}
