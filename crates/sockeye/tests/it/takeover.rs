//! Takeovers between servers of this process, and with counterparts that misbehave.

mod accepting;
mod asker;
mod crowded;
mod displaced;
mod predecessors;
mod renewals;
mod stopped;
mod successors;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use sockeye::ancillary::{RecvError, recv_msg, send_msg};
use sockeye::claim::{ClaimErrorKind, Mismatch};
use sockeye::server::{Connection, Report, Server, ServerError};
use sockeye::takeover::TakeoverErrorKind;
use sockeye::{
    Address, Claim, Connector, Kind, Listener, SeqPacket, SeqPacketListener, Takeover,
    TakeoverError,
};

use asker::Asker;

use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, echo_lines, in_time, settled,
};
use crate::support::{PATIENCE, Place, identity, listening, mode_of, set_mode};

const HELLO: [u8; 2] = [2, 1];
const OFFER: [u8; 2] = [2, 2];
const READY: [u8; 2] = [2, 3];
const SERVING: [u8; 2] = [2, 4];
const CANCEL: [u8; 2] = [2, 5];

fn takeover() -> Takeover {
    Takeover::new(Claim::options())
}

async fn listen(address: &Address) -> Listener {
    in_time(takeover().listen(address)).await.unwrap()
}

async fn serve(address: &Address) -> Running {
    Running::start(Server::new(), listen(address).await, echo_lines)
}

fn control(place: &Place) -> PathBuf {
    place.at("app.sock.takeover")
}

#[tokio::test]
async fn the_predecessor_ends_and_the_file_stays() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let before = identity(&place.socket()).unwrap();
    let mut begun = Client::connect(&place.address()).await;
    assert_eq!(begun.ask("one").await, "one");
    let listener = listen(&place.address()).await;
    assert_eq!(
        listener.predecessor().and_then(|peer| peer.pid()),
        Some(rustix::process::getpid())
    );
    let second = Running::start(Server::new(), listener, echo_lines);
    assert_eq!(begun.rest().await, b"", "between two messages");
    assert_eq!(first.result().await.unwrap().drained, 1);
    assert_eq!(identity(&place.socket()), Some(before));
    let mut next = Client::connect(&place.address()).await;
    assert_eq!(next.ask("two").await, "two");
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn what_waits_in_the_backlog_is_the_successors() {
    let place = Place::new();
    // Its only permit is taken, so that it accepts nobody else.
    let listener = listen(&place.address()).await;
    let first = Running::start(Server::new().max_connections(1), listener, echo_lines);
    let mut only = Client::connect(&place.address()).await;
    assert_eq!(only.ask("one").await, "one");
    let mut waiting = Client::connect(&place.address()).await;
    waiting.send("two\n").await;
    let second = serve(&place.address()).await;
    assert_eq!(waiting.line().await, "two");
    assert_eq!(first.result().await.unwrap().drained, 1);
    assert_eq!(second.report().await.drained, 1);
}

#[tokio::test]
async fn a_seqpacket_socket_is_handed_over_too() {
    let place = Place::new();
    let address = place.address_of(Kind::SeqPacket);
    let listen = async || takeover().listen(&address).await.unwrap();
    let serve = |listener: SeqPacketListener, answer: &'static [u8]| {
        let handler = move |mut connection: Connection<SeqPacket>| async move {
            let _ = connection.send_msg(answer, &[]).await;
        };
        tokio::spawn(Server::new().run(listener, handler, std::future::pending()))
    };
    let first = serve(listen().await, b"first");
    let second = serve(listen().await, b"second");
    in_time(first).await.unwrap().unwrap();
    let client = Connector::new().connect_seqpacket(&address).await.unwrap();
    let mut answer = [0; 16];
    let length = in_time(client.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer[..length], b"second");
    second.abort();
}

#[tokio::test]
async fn a_successor_that_gives_up_before_it_serves_leaves_the_predecessor_in_its_place() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    for _ in 0..3 {
        drop(listen(&place.address()).await);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here");
    }
    first.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn only_paths_of_connections_can_be_handed_over() {
    let place = Place::new();
    for address in [
        place.abstract_address(Kind::Stream),
        place.address_of(Kind::Datagram),
    ] {
        let error = Claim::options().takeover(true).claim(&address).unwrap_err();
        assert_eq!(error.kind(), &ClaimErrorKind::NoTakeover);
    }
    place.assert_empty();
}

#[tokio::test]
async fn no_descriptor_is_left_behind() {
    let in_directory = |path: &Path| {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter(|target| target.starts_with(path))
            .count()
    };
    let place = Place::new();
    let mut server = serve(&place.address()).await;
    let before = in_directory(place.dir());
    for _ in 0..5 {
        let next = serve(&place.address()).await;
        server.result().await.unwrap();
        server = next;
        assert_eq!(in_directory(place.dir()), before);
    }
    server.report().await;
    assert_eq!(in_directory(place.dir()), 0);
}
