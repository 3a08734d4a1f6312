//! Clients and their servers, with a relay between them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::{Relayed, relay, start};
use crate::support::{Client, Place, Records, Server, serve_once};

#[test]
fn bytes_go_both_ways() {
    let mut relayed = Relayed::start(&[]);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(relayed.front())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("client {number}\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line(), format!("client {number}"));
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(relayed.relay.stop().is_clean().served, 20);
    assert_eq!(relayed.server.stop().is_clean().served, 20);
}

#[test]
fn an_answer_may_come_after_the_half_close() {
    let place = Place::new();
    let server = serve_once(&place.socket(), |mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).expect("EOF");
        stream.write_all(b"the answer").expect("it is read");
        question
    });
    let front = place.at("front");
    let mut relay = start(&[], &front, &[place.socket()]);
    let mut client = Client::connect(&front);
    client.send("the question");
    client.finish();
    assert_eq!(client.rest(), b"the answer");
    assert_eq!(server.join().expect("served"), b"the question");
    relay.stop().is_clean();
}

#[test]
fn records_keep_their_boundaries() {
    let place = Place::new();
    let address = format!("seqpacket:{}", place.socket().display());
    let mut server = Server::started_by(Server::command(&["--echo"]).arg(&address), place.socket());
    let front = place.at("front");
    let front_address = format!("seqpacket:{}", front.display());
    let mut command = relay(&[]);
    let mut relay = Server::started_by(command.args([&front_address, &address]), &front);
    let client = Records::connect(&front);
    for size in [1, 8191, 8192, 8193, 100_000] {
        let record = vec![size as u8; size];
        client.send(&record);
        assert_eq!(client.next(), record);
    }
    drop(client);
    relay.stop().is_clean();
    server.stop().is_clean();
}

#[test]
fn verbose_says_which_path_runs_and_how_each_direction_ended() {
    let mut relayed = Relayed::start(&["-v", "--fds", "refuse"]);
    let mut client = Client::connect(relayed.front());
    client.send("hello\n");
    client.line();
    client.finish();
    client.rest();
    let stderr = &relayed.relay.process.stderr;
    let path = stderr.line("the path", |line| {
        line.contains(": joined to ") && line.contains('(')
    });
    assert!(
        path.contains("to the target: splice, to the client: splice"),
        "{path}"
    );
    let end = stderr.line("the end", |line| line.contains(", ended: "));
    assert!(
        end.ends_with("to the target 6 bytes (EOF), to the client 6 bytes (EOF)"),
        "{end}"
    );
    relayed.relay.stop().is_clean();
}

#[test]
fn one_connection_is_relayed_with_once() {
    let mut relayed = Relayed::start(&["--once"]);
    let mut client = Client::connect(relayed.front());
    client.send("hello\n");
    assert_eq!(client.line(), "hello");
    let refused = UnixStream::connect(relayed.front()).map_err(|error| error.kind());
    assert!(refused.is_err(), "{refused:?}");
    client.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(relayed.relay.ending().is_clean().served, 1);
}
