//! Files of a running server, removed and recreated.

use sockeye::server::Renew;

use super::*;

/// A server that recreates its files when it is asked to.
async fn renewing(place: &Place) -> (Running, Renew) {
    let renew = Renew::default();
    let server = Server::new().renew_files(renew.clone());
    let listener = listen(&place.address()).await;
    (Running::start(server, listener, echo_lines), renew)
}

#[tokio::test]
async fn a_path_that_somebody_else_has_claimed_is_left_to_them() {
    let place = Place::new();
    let (first, renew) = renewing(&place).await;
    in_time(renew.ask()).await.unwrap();
    for file in [place.socket(), place.lock(), control(&place)] {
        fs::remove_file(file).unwrap();
    }
    let second = serve(&place.address()).await;
    let error = in_time(renew.ask()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ClaimErrorKind::Locked { .. }),
        "{error}"
    );
    first.report().await;
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_strangers_socket_in_place_of_the_control_socket_is_reported() {
    let place = Place::new();
    let (first, renew) = renewing(&place).await;
    fs::remove_file(control(&place)).unwrap();
    let stranger = std::os::unix::net::UnixListener::bind(control(&place)).unwrap();
    let error = in_time(renew.ask()).await.unwrap_err();
    assert!(error.to_string().contains("takeover"), "{error}");
    drop(stranger);
    in_time(renew.ask()).await.unwrap();
    first.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_control_socket_is_listened_at_though_the_socket_file_could_not_be_recreated() {
    let place = Place::new();
    let (first, renew) = renewing(&place).await;
    let mut begun = Client::connect(&place.address()).await;
    assert_eq!(begun.ask("one").await, "one");
    fs::remove_file(place.socket()).unwrap();
    fs::remove_file(control(&place)).unwrap();
    fs::write(place.socket(), "a stranger's").unwrap();
    in_time(renew.ask()).await.unwrap_err();
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
    // Abstract names of others need not be UTF-8.
    let table = fs::read("/proc/net/unix").unwrap();
    let table = String::from_utf8_lossy(&table);
    let end = format!(" {}", place.socket().display());
    // __SO_ACCEPTCON
    let listens = |line: &&str| line.contains(" 00010000 ") && line.ends_with(&end);
    table.lines().filter(listens).count()
}

#[tokio::test]
async fn of_sockets_that_have_lost_their_file_a_few_are_kept_and_those_with_clients() {
    let place = Place::new();
    let renew = Renew::default();
    let server = Server::new().max_connections(1);
    let server = server.renew_files(renew.clone());
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
        in_time(renew.ask()).await.unwrap();
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
