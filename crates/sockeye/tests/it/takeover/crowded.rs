//! More processes at the control socket than a server should care for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn a_client_comes_before_all_who_connect_to_the_control_socket() {
    let place = Place::new();
    let listener = listen(&place.address()).await;
    // They are there before the server runs, and so is the client.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        let asker = Asker::connect(&place).await;
        asker.say(b"nonsense").await;
        crowd.push(asker);
    }
    let crowd = Arc::new(crowd);
    let mut client = Client::connect(&place.address()).await;
    let answered = Arc::new(AtomicUsize::new(usize::MAX));
    let (seen, count) = (Arc::clone(&crowd), Arc::clone(&answered));
    let server = Server::new().authorize(move |_, _| {
        let has_heard = |asker: &&Asker| !asker.has_heard_nothing();
        count.store(seen.iter().filter(has_heard).count(), Ordering::Relaxed);
        true
    });
    let server = Running::start(server, listener, echo_lines);
    assert_eq!(client.ask("hello").await, "hello");
    let before = answered.load(Ordering::Relaxed);
    assert!(before <= 1, "{before} of them were answered before");
    for asker in crowd.iter() {
        assert_eq!(asker.hear().await.0, CANCEL);
    }
    drop(client);
    server.report().await;
    place.assert_empty();
}
