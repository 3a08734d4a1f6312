//! Handlers: on which tasks they run, which tokens they get, and what happens when one panics or goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sockeye::server::{Connection, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

use crate::support::Place;
use crate::support::serving::{
    Client, Clock, DRAIN, MILLISECOND, Running, claimed, counted, echo_lines, in_time,
    on_each_runtime, settled,
};

/// What a panic may carry.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("again");
    }
}

/// How many tasks the runtime has; the test itself is none.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[test]
fn on_one_thread_all_handlers_are_one_task() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Running::start(Server::new(), claimed(&place.address()), echo_lines);
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = Client::connect(&place.address()).await;
            assert_eq!(client.ask("a").await, "a");
            clients.push(client);
        }
        let handlers = match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => 1,
            _ => clients.len(),
        };
        assert_eq!(tasks(), 1 + handlers, "with the server itself");
        server.report().await;
    });
}

#[test]
fn no_task_outlives_its_server() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Running::start(Server::new(), claimed(&place.address()), echo_lines);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("a").await, "a");
        server.report().await;
        in_time(async {
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    });
}

/// ResultSender each byte with itself.
async fn echo_bytes(mut connection: Connection) {
    let mut byte = [0];
    while connection.read(&mut byte).await.unwrap() > 0 {
        match &byte {
            b"!" => panic!("asked to panic"),
            b"?" => std::panic::panic_any(PanicsAgain),
            _ => {}
        }
        connection.write_all(&byte).await.unwrap();
    }
}

#[test]
fn a_panic_takes_down_its_connection_only() {
    on_each_runtime(async || {
        let place = Place::new();
        let server = Running::start(
            Server::new().max_connections(2),
            claimed(&place.address()),
            echo_bytes,
        );
        let mut other = Client::connect(&place.address()).await;
        assert_eq!(other.ask("a").await, "a");
        for panic in ["!", "?", "!"] {
            let mut client = Client::connect(&place.address()).await;
            client.send(panic).await;
            assert_eq!(client.rest().await, b"");
            assert_eq!(other.ask("b").await, "b");
        }
        drop(other);
        let report = server.report().await;
        assert_eq!(report.served + report.drained, 1, "{report}");
        assert_eq!(report.aborted, 3, "{report}");
    });
}

#[tokio::test]
async fn a_panic_costs_others_no_poll() {
    let place = Place::new();
    let server = Running::start(Server::new(), claimed(&place.address()), echo_bytes);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("a").await, "a");
        clients.push(client);
    }
    settled().await;
    // All are polled in one turn of the task, and in any order one of the others comes after the panic.
    for (client, text) in clients.iter_mut().zip(["b\n", "!", "b\n"]) {
        client.send(text).await;
    }
    assert_eq!(clients[0].line().await, "b");
    assert_eq!(clients[1].rest().await, b"");
    assert_eq!(clients[2].line().await, "b");
    drop(clients);
    settled().await;
    assert_eq!(server.report().await, counted(2, 0, 0, 1));
}

#[test]
fn a_panic_before_the_handlers_future_is_made_is_no_other() {
    on_each_runtime(async || {
        let place = Place::new();
        let first = AtomicUsize::new(0);
        let server = Running::start(
            Server::new(),
            claimed(&place.address()),
            move |connection| {
                assert_ne!(
                    first.fetch_add(1, Ordering::SeqCst),
                    0,
                    "the first one panics"
                );
                echo_lines(connection)
            },
        );
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"");
        assert!(!server.is_over().await);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("a").await, "a");
        assert_eq!(server.report().await, counted(0, 0, 1, 1));
    });
}

#[tokio::test]
async fn a_handler_gets_the_shutdown_token_and_may_finish() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = Running::start(
        Server::new().drain_timeout(DRAIN),
        claimed(&place.address()),
        |mut connection: Connection| async move {
            let shutdown = connection.shutdown_token();
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN / 2).await;
            connection.write_all(b"goodbye").await.unwrap();
        },
    );
    let mut client = Client::connect(&place.address()).await;
    clock.pass(2 * DRAIN).await;
    client.assert_nothing_came();
    server.stop();
    clock.pass(DRAIN / 2 + MILLISECOND).await;
    assert_eq!(client.rest().await, b"goodbye");
    assert_eq!(server.report().await, counted(0, 0, 1, 0));
}

#[tokio::test]
async fn a_handler_gets_the_abort_token_and_has_its_abort_grace() {
    const GRACE: Duration = Duration::from_secs(2);
    let place = Place::new();
    let clock = Clock::stop();
    let server = Running::start(
        Server::new().drain_timeout(DRAIN).abort_grace(GRACE),
        claimed(&place.address()),
        |mut connection: Connection| async move {
            connection.abort_token().cancelled().await;
            connection.write_all(b"goodbye\n").await.unwrap();
            std::future::pending::<()>().await;
        },
    );
    let mut client = Client::connect(&place.address()).await;
    settled().await;
    server.stop();
    clock.pass(DRAIN - MILLISECOND).await;
    client.assert_nothing_came();
    clock.pass(2 * MILLISECOND).await;
    assert_eq!(client.line().await, "goodbye");
    clock.pass(GRACE - MILLISECOND).await;
    assert!(!server.is_over().await);
    clock.pass(2 * MILLISECOND).await;
    assert!(server.is_over().await);
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
}

#[tokio::test]
async fn an_idle_handler_of_ones_own_counts_as_drained() {
    let place = Place::new();
    let clock = Clock::stop();
    let server = Running::start(
        Server::new().drain_timeout(DRAIN),
        claimed(&place.address()),
        |mut connection: Connection| async move {
            let mut byte = [0];
            connection.read_exact(&mut byte).await.unwrap();
            connection.set_idle(byte == *b"i");
            let _ = connection.read(&mut byte).await;
        },
    );
    let mut idle = Client::connect(&place.address()).await;
    let mut busy = Client::connect(&place.address()).await;
    idle.send("i").await;
    busy.send("b").await;
    settled().await;
    server.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    assert_eq!(server.report().await, counted(0, 0, 1, 1));
}

#[test]
fn a_handler_that_outlives_its_connection_is_waited_for() {
    on_each_runtime(async || {
        let place = Place::new();
        let (tell, mut told) = mpsc::unbounded_channel();
        let server = Running::start(
            Server::new(),
            claimed(&place.address()),
            move |connection: Connection| {
                let tell = tell.clone();
                async move {
                    let shutdown = connection.shutdown_token();
                    drop(connection);
                    tell.send("closed").unwrap();
                    shutdown.cancelled().await;
                    settled().await;
                    tell.send("done").unwrap();
                }
            },
        );
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.rest().await, b"");
        assert_eq!(in_time(told.recv()).await, Some("closed"));
        assert_eq!(server.report().await, counted(1, 0, 0, 0));
        assert_eq!(told.try_recv(), Ok("done"));
    });
}

#[tokio::test]
async fn a_connection_that_outlives_its_handler_is_counted() {
    let place = Place::new();
    let clock = Clock::stop();
    let time = Duration::from_secs(5);
    let (give, mut given) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new().drain_timeout(time),
        claimed(&place.address()),
        move |connection: Connection| {
            let give = give.clone();
            async move { give.send(connection).unwrap() }
        },
    );
    let mut client = Client::connect(&place.address()).await;
    let mut connection = in_time(given.recv()).await.unwrap();
    connection.write_all(b"still served\n").await.unwrap();
    assert_eq!(client.line().await, "still served");
    server.stop();
    clock.pass(time - MILLISECOND).await;
    assert!(!server.is_over().await);
    // The drain timeout, and a moment for aborted handlers to be dropped.
    clock.pass(2 * MILLISECOND).await;
    clock.pass(Duration::from_secs(1) + MILLISECOND).await;
    assert_eq!(server.report().await, counted(0, 0, 0, 1));
    drop(connection);
}
