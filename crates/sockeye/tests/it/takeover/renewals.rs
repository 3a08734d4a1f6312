//! Files of a server that runs, removed and made anew.

use std::sync::Arc;

use tokio::sync::Notify;

use super::*;

/// A server that makes its files anew when it is asked to.
async fn renewing(place: &Place) -> (Running, Arc<Notify>) {
    let asked = Arc::<Notify>::default();
    let server = Server::new().renew_files(Arc::clone(&asked));
    let listener = listen(&place.address()).await;
    (Running::start(server, listener, echo_lines), asked)
}

/// Asks for it, and waits until it has come to an end.
async fn renew(asked: &Notify) {
    asked.notify_one();
    settled().await;
}

#[tokio::test]
async fn a_control_socket_is_listened_at_though_the_socket_file_could_not_be_made_anew() {
    let place = Place::new();
    let (first, asked) = renewing(&place).await;
    let mut begun = Client::connect(&place.address()).await;
    assert_eq!(begun.ask("one").await, "one");
    fs::remove_file(place.socket()).unwrap();
    fs::remove_file(control(&place)).unwrap();
    fs::write(place.socket(), "a stranger's").unwrap();
    renew(&asked).await;
    assert!(control(&place).exists());
    fs::remove_file(place.socket()).unwrap();
    let second = serve(&place.address()).await;
    assert_eq!(first.result().await.unwrap().drained, 1);
    let mut next = Client::connect(&place.address()).await;
    assert_eq!(next.ask("two").await, "two");
    drop(next);
    second.report().await;
    place.assert_empty();
}
