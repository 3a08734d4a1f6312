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

/// How many sockets listen that were bound to it.
fn listeners_of(place: &Place) -> usize {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let end = format!(" {}", place.socket().display());
    // __SO_ACCEPTCON
    let listens = |line: &&str| line.contains(" 00010000 ") && line.ends_with(&end);
    table.lines().filter(listens).count()
}

#[tokio::test]
async fn of_sockets_that_have_lost_their_file_a_few_are_kept_and_those_with_clients() {
    let place = Place::new();
    let asked = Arc::<Notify>::default();
    let server = Server::new().max_connections(1);
    let server = server.renew_files(Arc::clone(&asked));
    let server = Running::start(server, listen(&place.address()).await, echo_lines);
    // The only connection that it may have, so that the others wait.
    let mut only = Client::connect(&place.address()).await;
    assert_eq!(only.ask("one").await, "one");
    let link = |index: usize| place.at(format!("link{index}"));
    let by_link = |index: usize| Address::from_path(link(index)).unwrap();
    let mut first = None;
    for index in 0..9 {
        fs::hard_link(place.socket(), link(index)).unwrap();
        if index == 0 {
            first = Some(Client::connect(&by_link(0)).await);
        }
        fs::remove_file(place.socket()).unwrap();
        renew(&asked).await;
        assert!(place.socket().exists());
        // The kernel may leave some out while others come and go.
        assert!(listeners_of(&place) <= 5);
    }
    let refused = Connector::new().connect(&by_link(1)).await.unwrap_err();
    assert!(refused.to_string().contains("link1"), "{refused}");
    drop(only);
    let mut first = first.unwrap();
    assert_eq!(first.ask("by the first one").await, "by the first one");
    drop(first);
    for address in [by_link(8), place.address()] {
        let mut client = Client::connect(&address).await;
        assert_eq!(client.ask("hello").await, "hello");
    }
    server.report().await;
}
