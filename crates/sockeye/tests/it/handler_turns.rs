//! Handlers on one thread yield to each other, to new connections and to other tasks.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::server::{Connection, Server};
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, mpsc};

use crate::support::Place;
use crate::support::serving::{Client, Running, claimed, in_time, on_each_runtime};

#[tokio::test]
async fn new_clients_do_not_wait_for_the_busy_one_after_the_other() {
    const NEW_CLIENTS: usize = 100;
    let place = Place::new();
    let listener = claimed(&place.address());
    let mut clients = Vec::new();
    for _ in 0..NEW_CLIENTS {
        clients.push(Client::connect(&place.address()).await);
    }
    let turns = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&turns);
    // Between two of its polls every task that is ready is polled once.
    let busy = tokio::spawn(poll_fn(move |cx| {
        count.fetch_add(1, Ordering::Relaxed);
        cx.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    }));
    let (tell, mut begun) = mpsc::unbounded_channel();
    let server = Running::start(Server::new(), listener, move |connection: Connection| {
        let (tell, turns) = (tell.clone(), Arc::clone(&turns));
        async move {
            tell.send(turns.load(Ordering::Relaxed)).unwrap();
            drop(connection);
        }
    });
    let mut turns = 0;
    for _ in 0..NEW_CLIENTS {
        turns = in_time(begun.recv()).await.unwrap();
    }
    busy.abort();
    // More than once, since the runtime looks after its driver in between.
    assert!(turns < NEW_CLIENTS, "{turns} turns");
    server.report().await;
}

/// Counts the polls of a handler.
fn counted_turns<F: Future<Output = ()>>(
    turns: &Arc<AtomicUsize>,
    handler: F,
) -> impl Future<Output = ()> + use<F> {
    let turns = Arc::clone(turns);
    let mut handler = Box::pin(handler);
    poll_fn(move |cx| {
        turns.fetch_add(1, Ordering::Relaxed);
        handler.as_mut().poll(cx)
    })
}

#[test]
fn more_may_be_ready_than_a_turn_has_a_budget_for() {
    const HANDLERS: usize = 2000;
    on_each_runtime(async || {
        let place = Place::new();
        let gate = Arc::new(Semaphore::new(0));
        let turns = Arc::new(AtomicUsize::new(0));
        let (tell, mut told) = mpsc::unbounded_channel();
        let handler = {
            let (gate, turns) = (Arc::clone(&gate), Arc::clone(&turns));
            move |connection: Connection| {
                let (gate, tell) = (Arc::clone(&gate), tell.clone());
                counted_turns(&turns, async move {
                    drop(connection);
                    tell.send(()).unwrap();
                    let _ = gate.acquire().await;
                    tell.send(()).unwrap();
                })
            }
        };
        let server = Running::start(Server::new(), claimed(&place.address()), handler);
        for _ in 0..HANDLERS {
            drop(Client::connect(&place.address()).await);
            in_time(told.recv()).await.unwrap();
        }
        turns.store(0, Ordering::Relaxed);
        gate.add_permits(HANDLERS);
        for _ in 0..HANDLERS {
            in_time(told.recv()).await.unwrap();
        }
        // Some find the budget used up.
        let turns = turns.load(Ordering::Relaxed);
        assert!(turns < 2 * HANDLERS, "{turns} turns");
        server.report().await;
    });
}

/// A handler that finds what a turn may take used up goes on in the next.
#[tokio::test]
async fn handlers_take_turns_while_all_have_something_to_read() {
    const HANDLERS: usize = 5;
    const BYTES: usize = 10_000;
    let place = Place::new();
    let listener = claimed(&place.address());
    let mut clients = Vec::new();
    for _ in 0..HANDLERS {
        let mut client = Client::connect(&place.address()).await;
        client.send([0; BYTES]).await;
        clients.push(client);
    }
    let read = Arc::new([0; HANDLERS].map(AtomicUsize::new));
    let numbers = AtomicUsize::new(0);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Running::start(
        Server::new(),
        listener,
        move |mut connection: Connection| {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let (read, tell) = (Arc::clone(&read), tell.clone());
            async move {
                for _ in 0..BYTES {
                    connection.read_u8().await.unwrap();
                    read[number].fetch_add(1, Ordering::Relaxed);
                }
                let least = read.iter().map(|read| read.load(Ordering::Relaxed)).min();
                tell.send(least).unwrap();
            }
        },
    );
    let least = in_time(told.recv()).await.unwrap();
    assert_ne!(least, Some(0), "one had to wait until another had read all");
    server.report().await;
}
