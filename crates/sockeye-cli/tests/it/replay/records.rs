//! Seqpacket sockets, and datagrams.

use std::thread;

use rustix::net::SocketType;
use sockeye::Kind;

use super::recorder::RecordingRelay;
use super::{last_line, replay};
use crate::support::{Place, Records, Server, bound, receive, records_of_all_sizes, sockeye};

/// Records of all sizes through a server that echoes; and the records.
fn recorded(place: &Place) -> (std::path::PathBuf, Vec<Vec<u8>>) {
    let server = Server::start(
        format!("seqpacket:{}", place.socket().display()),
        &["--echo"],
    );
    let relay = RecordingRelay::start(place, "tap", Kind::SeqPacket, &place.socket());
    let records = records_of_all_sizes(SocketType::SEQPACKET);
    let client = Records::connect(&relay.front);
    for record in &records {
        client.send(record);
        assert!(client.next() == *record);
    }
    client.finish();
    assert_eq!(client.next(), b"");
    drop(server);
    (relay.finish(), records)
}

fn address(place: &Place) -> String {
    format!("seqpacket:{}", place.socket().display())
}

#[test]
fn records_of_all_sizes_are_played_and_compared() {
    let place = Place::new();
    let (file, records) = recorded(&place);
    let server = Server::start(address(&place), &["--echo"]);
    let played = replay(&["--check", "--speed", "max"], &file, address(&place));
    assert_eq!(played.code, Some(0), "{played:#?}");
    let size: usize = records.iter().map(Vec::len).sum();
    assert_eq!(
        last_line(&played),
        format!("replayed 1 connection: {size} bytes sent, {size} bytes received, 0 different")
    );
    drop(server);
    let server = Server::start(address(&place), &["--reply", "else"]);
    let played = replay(&["--check", "--speed", "max"], &file, address(&place));
    assert_eq!(played.code, Some(1), "{played:#?}");
    assert!(
        played.text().contains("record 0 of the answer"),
        "{played:#?}"
    );
    drop(server);
}

#[test]
fn a_stand_in_answers_records() {
    let place = Place::new();
    let (file, records) = recorded(&place);
    let path = place.at("stand-in.sock");
    let mut command = sockeye();
    command.args(["replay", "--serve"]).arg(&file);
    command.arg(format!("seqpacket:{}", path.display()));
    let mut server = Server::started_by(&mut command, &path);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (path, records) = (path.clone(), records.clone());
            thread::spawn(move || {
                let client = Records::connect(&path);
                for record in &records {
                    client.send(record);
                    assert!(client.next() == *record);
                }
                client.finish();
                assert_eq!(client.next(), b"");
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let other = Records::connect(&path);
    other.send(b"something else");
    other.is_cut();
    let ending = server.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
    assert!(
        ending.stderr.contains("at byte 0 of record 0"),
        "{ending:#?}"
    );
}

#[test]
fn a_stand_in_of_a_stream_is_none_of_records() {
    let place = Place::new();
    let (file, _) = recorded(&place);
    let played = replay(&["--serve"], &file, place.at("stand-in.sock"));
    played.fails(2, &["it has records", "write seqpacket:"]);
}

#[test]
fn datagrams_are_played_and_answered_as_records_are() {
    let place = Place::new();
    let (file, records) = recorded(&place);
    // A recording does not say which of both kinds its records are.
    let path = place.at("datagrams.sock");
    let address = format!("dgram:{}", path.display());
    let mut server = Server::started_by(Server::command(&["--echo"]).arg(&address), &path);
    let played = replay(&["--check", "--speed", "max"], &file, &address);
    assert_eq!(played.code, Some(0), "{played:#?}");
    server.stop();
    let mut command = sockeye();
    command.args(["replay", "--serve"]).arg(&file).arg(&address);
    let mut server = Server::started_by(&mut command, &path);
    // Twice from one sender: it begins again where the recording ends.
    let client = bound(place.at("client.sock"));
    client.connect(&path).unwrap();
    for record in records.iter().chain(&records) {
        client.send(record).unwrap();
        assert!(receive(&client) == *record);
    }
    client.send(b"something else").unwrap();
    let line = server
        .process
        .stderr
        .line("the difference", |line| line.contains("closest"));
    assert!(line.contains("at byte 0 of record 0"), "{line}");
    let ending = server.stop();
    assert_eq!(ending.code, Some(7), "{ending:#?}");
}
