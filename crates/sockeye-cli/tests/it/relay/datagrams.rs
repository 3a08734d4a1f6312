//! `dgram:`: a socket for each sender.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::relay;
use crate::support::{Place, Server, bound, receive, run};

fn dgram(path: &Path) -> String {
    format!("dgram:{}", path.display())
}

/// `sockeye relay OPTIONS dgram:FRONT dgram:TARGET`
#[track_caller]
fn start(options: &[&str], front: &Path, target: &Path) -> Server {
    let mut command = relay(options);
    Server::started_by(command.args([dgram(front), dgram(target)]), front)
}

/// A server that echoes datagrams.
#[track_caller]
fn echo(path: &Path) -> Server {
    Server::started_by(Server::command(&["--echo"]).arg(dgram(path)), path)
}

#[test]
fn answers_find_their_way_to_each_sender() {
    let place = Place::new();
    let mut server = echo(&place.socket());
    let front = place.at("front");
    let mut relay = start(&[], &front, &place.socket());
    let clients: Vec<UnixDatagram> = (0..5)
        .map(|n| bound(place.at(format!("client{n}"))))
        .collect();
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            let datagram = format!("{number} {round}");
            client
                .send_to(datagram.as_bytes(), &front)
                .expect("it is bound");
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(receive(client), format!("{number} {round}").as_bytes());
        }
    }
    let report = relay.stop().is_clean();
    assert_eq!(report.served, 15);
    server.stop().is_clean();
}

#[test]
fn a_datagram_over_the_limit_is_dropped_and_the_next_one_passes() {
    let place = Place::new();
    let mut server = echo(&place.socket());
    let front = place.at("front");
    let mut relay = start(&["--max-record", "1000"], &front, &place.socket());
    let client = bound(place.at("client"));
    client.send_to(&[1; 1001], &front).expect("it is bound");
    client.send_to(&[2; 1000], &front).expect("it is bound");
    assert_eq!(receive(&client), [2; 1000]);
    let line = relay
        .process
        .stderr
        .line("the reason", |line| line.contains("warning"));
    assert!(line.contains("longer"), "{line}");
    let report = relay.stop().is_clean();
    assert_eq!((report.served, report.refused), (1, 1));
    server.stop().is_clean();
}

#[test]
fn a_datagram_without_a_target_is_lost_and_said_to_be() {
    let place = Place::new();
    let front = place.at("front");
    let mut relay = start(&[], &front, &place.at("absent"));
    let client = bound(place.at("client"));
    client.send_to(b"lost", &front).expect("it is bound");
    relay
        .process
        .stderr
        .line("the reason", |line| line.contains("no target"));
    assert_eq!(relay.stop().was_cut().aborted, 1);
}

#[test]
fn what_is_no_path_or_name_is_wrong_usage() {
    let place = Place::new();
    let address = dgram(&place.socket());
    for target in [address.as_str(), "dgram:fd:0"] {
        let said = run(relay(&[]).args([&address, target]));
        assert_eq!(said.code, Some(2), "{said:#?}");
    }
    assert_eq!(place.names().len(), 0);
}
