//! Giving up an address: new clients are refused, and successors and other holders are not.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use sockeye::connect::ConnectErrorKind;
use sockeye::server::Server;
use sockeye::{Address, Claim, ConnectError, Connector, Kind, Listener};
use tokio::sync::mpsc;

use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, echo_lines, in_time,
    on_each_runtime, serve, settled,
};
use crate::support::{Place, identity};

async fn refused(address: &Address) -> ConnectError {
    in_time(Connector::new().connect(address))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn new_clients_are_refused() {
    let place = Place::new();
    let _clock = Clock::stop();
    let path = place.address();
    let name = place.abstract_address(Kind::Stream);
    for address in [path, name] {
        let server = Server::new().max_connections(1).drain_timeout(DRAIN);
        let server = Running::start(server, claimed(&address), echo_lines);
        let mut begun = Client::connect(&address).await;
        begun.send("begun").await;
        settled().await;
        let mut waiting = Client::connect(&address).await;
        waiting.send("waiting\n").await;
        server.stop();
        settled().await;
        match (address.path(), refused(&address).await.kind()) {
            (Some(_), ConnectErrorKind::Absent) => {}
            (None, ConnectErrorKind::NotListening { .. }) => {}
            (_, other) => panic!("{other:?}"),
        }
        assert_eq!(begun.ask("").await, "begun");
        assert_eq!(waiting.line().await, "waiting");
        assert_eq!(server.report().await, counted(0, 0, 2, 0));
        match (address.path(), refused(&address).await.kind()) {
            (Some(_), ConnectErrorKind::Absent) => {}
            (None, ConnectErrorKind::NobodyListens) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_successor_may_start_while_handlers_go_on() {
    let place = Place::new();
    let _clock = Clock::stop();
    let path = place.address();
    let name = place.abstract_address(Kind::Stream);
    for address in [path, name] {
        let server = serve(&address);
        let mut begun = Client::connect(&address).await;
        begun.send("begun").await;
        settled().await;
        server.stop();
        settled().await;
        let successor = serve(&address);
        let file = identity(&place.socket());
        let mut new = Client::connect(&address).await;
        assert_eq!(new.ask("new").await, "new");
        assert_eq!(begun.ask("").await, "begun");
        assert_eq!(server.report().await, counted(0, 0, 1, 0));
        assert_eq!(identity(&place.socket()), file);
        let mut new = Client::connect(&address).await;
        assert_eq!(new.ask("new").await, "new");
        assert_eq!(successor.report().await, counted(0, 0, 2, 0));
        place.assert_empty();
    }
}

/// Whoever has all places may keep them for as long as the drain lasts; nobody waits for one.
#[tokio::test]
async fn an_empty_backlog_behind_a_maximum_keeps_no_successor_out() {
    let place = Place::new();
    let _clock = Clock::stop();
    let server = Server::new().max_connections(1).drain_timeout(DRAIN);
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    let mut client = Client::connect(&place.address()).await;
    client.send("begun").await;
    settled().await;
    server.stop();
    settled().await;
    drop(Claim::options().claim(&place.address()).unwrap());
    assert_eq!(client.ask("").await, "begun");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn an_adopted_listener_goes_on_for_its_other_holders() {
    let place = Place::new();
    let _clock = Clock::stop();
    let theirs = UnixListener::bind(place.socket()).unwrap();
    let ours = theirs.as_fd().try_clone_to_owned().unwrap();
    let server = Running::start(Server::new(), Listener::adopt(ours).unwrap(), echo_lines);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("a").await, "a");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
    assert_eq!(place.names(), ["app.sock"]);
    let _client = UnixStream::connect(place.socket()).unwrap();
    theirs.accept().unwrap();
}

/// What this server cannot serve any more, another holder of the listener can.
#[tokio::test]
async fn an_adopted_backlog_is_left_to_its_other_holders() {
    let place = Place::new();
    let clock = Clock::stop();
    let theirs = UnixListener::bind(place.socket()).unwrap();
    let ours = theirs.as_fd().try_clone_to_owned().unwrap();
    let server = Server::new().max_connections(1).drain_timeout(DRAIN);
    let server = Running::start(server, Listener::adopt(ours).unwrap(), echo_lines);
    let mut first = Client::connect(&place.address()).await;
    first.send("never ended").await;
    settled().await;
    let _second = Client::connect(&place.address()).await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert!(server.is_over().await);
    theirs.accept().expect("the second client still waits");
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
}

#[test]
fn a_dropped_run_releases_the_address_and_leaves_its_handlers() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = serve(&place.address());
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("one").await, "one");
        server.abandon().await;
        place.assert_empty();
        assert_eq!(client.ask("two").await, "two");
        drop(Claim::options().claim(&place.address()).unwrap());
    });
}

#[tokio::test]
async fn a_run_that_never_began_releases_the_address() {
    let place = Place::new();
    let (_never, mut wait) = mpsc::unbounded_channel::<()>();
    let run = Server::new().run(claimed(&place.address()), echo_lines, async move {
        wait.recv().await;
    });
    UnixStream::connect(place.socket()).unwrap();
    drop(run);
    place.assert_empty();
}
