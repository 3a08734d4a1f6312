//! [`Server`]: limits, permissions, and what it does about trouble.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::net::Shutdown;
use sockeye::server::{Connection, Server};
use sockeye::{Peer, Stream};
use tokio::sync::mpsc;

use crate::support::serving::{
    Client, Running, claimed, counted, echo_lines, in_time, on_each_runtime, settled,
};
use crate::support::{NOBODY, PATIENCE, Place, as_nobody};

#[test]
fn many_clients_are_served() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Running::start(Server::new(), claimed(&place.address()), echo_lines);
        let clients: Vec<_> = (0..200)
            .map(|id| {
                let address = place.address();
                tokio::spawn(async move {
                    let mut client = Client::connect(&address).await;
                    for round in 0..10 {
                        let text = format!("{id} {round}");
                        assert_eq!(client.ask(&text).await, text);
                    }
                    client.half_close().await;
                    assert_eq!(client.rest().await, b"");
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let report = server.report().await;
        assert_eq!(report.served + report.drained, 200, "{report}");
        assert_eq!((report.refused, report.aborted), (0, 0), "{report}");
        assert_eq!(report.accept_errors, 0);
        place.assert_empty();
    });
}

#[test]
fn one_connection_is_enough_for_a_server_that_serves_once() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Server::new()
            .once()
            .drain_timeout(std::time::Duration::ZERO);
        let server = Running::start(server, claimed(&place.address()), echo_lines);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("first").await, "first");
        let refused = sockeye::Connector::new().connect(&place.address()).await;
        assert!(refused.is_err(), "nobody else comes in");
        // No shutdown has begun for the one.
        assert_eq!(client.ask("second").await, "second");
        client.half_close().await;
        assert_eq!(client.rest().await, b"");
        let report = server.result().await.unwrap();
        assert_eq!((report.served, report.drained), (1, 0), "{report}");
        assert_eq!((report.refused, report.aborted), (0, 0), "{report}");
        place.assert_empty();
    });
}

/// How many handlers run, and how many ran at most.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    async fn measure(self, connection: Connection) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        echo_lines(connection).await;
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn above_the_maximum_they_wait_in_the_backlog() {
    let place = Place::new();
    let gauge = Gauge::default();
    let server = Running::start(
        Server::new().max_connections(3),
        claimed(&place.address()),
        {
            let gauge = gauge.clone();
            move |connection| gauge.clone().measure(connection)
        },
    );
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(&place.address()).await;
        client.send("hello\n").await;
        clients.push(client);
    }
    settled().await;
    for client in &clients[3..] {
        client.assert_nothing_came();
    }
    // Each that leaves makes room for one, in the order in which they came.
    for mut client in clients {
        assert_eq!(client.line().await, "hello");
    }
    assert_eq!(gauge.most(), 3);
    settled().await;
    assert_eq!(server.report().await, counted(8, 0, 0, 0));
}

#[tokio::test]
async fn a_permit_is_free_when_the_connection_is_dropped_though_its_handler_goes_on() {
    let place = Place::new();
    let server = Running::start(
        Server::new().max_connections(1),
        claimed(&place.address()),
        |connection: Connection| async move {
            let shutdown = connection.shutdown_token();
            drop(connection);
            shutdown.cancelled().await;
        },
    );
    for _ in 0..3 {
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(server.report().await, counted(3, 0, 0, 0));
}

#[tokio::test]
async fn a_user_above_his_maximum_is_refused() {
    let place = Place::new();
    place.open_to_all();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new().max_per_uid(2),
        claimed(&place.address()),
        move |connection| {
            let ended = ended.clone();
            async move {
                echo_lines(connection).await;
                ended.send(()).unwrap();
            }
        },
    );
    let mut one = Client::connect(&place.address()).await;
    let mut two = Client::connect(&place.address()).await;
    assert_eq!(one.ask("1").await, "1");
    assert_eq!(two.ask("2").await, "2");
    for _ in 0..3 {
        let mut refused = Client::connect(&place.address()).await;
        assert_eq!(refused.rest().await, b"", "closed without an answer");
    }
    // The limit is each user's own.
    let path = place.socket();
    let others =
        as_nobody(|| [(); 3].map(|()| std::os::unix::net::UnixStream::connect(&path).unwrap()));
    let (mut others_served, mut others_refused) = (0, 0);
    if let Some(others) = others {
        let mut others = others.map(|other| Client::from(Stream::from_std(other).unwrap()));
        assert_eq!(others[0].ask("3").await, "3");
        assert_eq!(others[1].ask("4").await, "4");
        assert_eq!(others[2].rest().await, b"");
        drop(others);
        in_time(ends.recv()).await.unwrap();
        in_time(ends.recv()).await.unwrap();
        (others_served, others_refused) = (2, 1);
    }
    // Who leaves makes room.
    drop(one);
    in_time(ends.recv()).await.unwrap();
    let mut three = Client::connect(&place.address()).await;
    assert_eq!(three.ask("5").await, "5");
    assert_eq!(two.ask("6").await, "6");
    assert_eq!(
        server.report().await,
        counted(1 + others_served, 3 + others_refused, 2, 0)
    );
}

#[tokio::test]
async fn who_is_not_authorized_never_gets_to_the_handler() {
    let place = Place::new();
    place.open_to_all();
    let server = Server::new().authorize(|peer: &Peer, socket: BorrowedFd<'_>| {
        assert_eq!(&Peer::of(socket).unwrap(), peer);
        peer.uid() == Some(NOBODY)
    });
    let (started, mut starts) = mpsc::unbounded_channel();
    let server = Running::start(server, claimed(&place.address()), move |connection| {
        started.send(connection.peer().unwrap().uid()).unwrap();
        echo_lines(connection)
    });
    for _ in 0..3 {
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"", "closed without an answer");
    }
    starts.try_recv().unwrap_err();
    let path = place.socket();
    let allowed = as_nobody(|| std::os::unix::net::UnixStream::connect(&path).unwrap());
    if let Some(allowed) = allowed {
        let mut client = Client::from(Stream::from_std(allowed).unwrap());
        assert_eq!(client.ask("hello").await, "hello");
        assert_eq!(starts.recv().await, Some(Some(NOBODY)));
        assert_eq!(server.report().await, counted(0, 3, 1, 0));
    } else {
        assert_eq!(server.report().await, counted(0, 3, 0, 0));
    }
}

/// Those who are refused take no place from those who are not.
#[tokio::test]
async fn the_refused_leave_the_maximum_alone() {
    let place = Place::new();
    let server = Server::new().max_connections(1).authorize(|_, _| false);
    let server = Running::start(server, claimed(&place.address()), echo_lines);
    for _ in 0..10 {
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(server.report().await, counted(0, 10, 0, 0));
}

/// Somebody else who has the listener can end it for all. To accept(2) that looks like an empty
/// backlog and to epoll(7) like a full one, so this runs where a spinning server stops nobody.
#[test]
fn a_listener_that_is_gone_ends_the_server() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(serve_until_it_is_gone());
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).expect("it ends, and in order");
}

async fn serve_until_it_is_gone() {
    let place = Place::new();
    let listener = claimed(&place.address());
    let other = listener.as_fd().try_clone_to_owned().unwrap();
    let server = Running::start(Server::new(), listener, echo_lines);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("a").await, "a");
    client.send("begun").await;
    settled().await;
    rustix::net::shutdown(&other, Shutdown::Read).unwrap();
    settled().await;
    place.assert_empty();
    // What is open is drained first.
    assert_eq!(client.ask(" and ended").await, "begun and ended");
    drop(client);
    let error = server.result().await.unwrap_err();
    assert_eq!(error.report().drained, 1, "{}", error.report());
    assert_eq!(error.report().aborted, 0, "{}", error.report());
}

#[tokio::test]
async fn a_limit_of_no_connections_is_refused() {
    let place = Place::new();
    for (server, limit) in [
        (Server::new().max_connections(0), "max_connections"),
        (Server::new().max_per_uid(0), "max_per_uid"),
    ] {
        let running = Running::start(server, claimed(&place.address()), echo_lines);
        let error = running.result().await.unwrap_err();
        assert!(error.to_string().starts_with(limit), "{error}");
        assert_eq!(error.report(), counted(0, 0, 0, 0));
        place.assert_empty();
    }
}
