//! Servers that are stopped or dropped during a takeover.

use super::*;

/// Its last word is what makes the path the successor's, whether or not it was read.
#[tokio::test]
async fn a_server_that_is_stopped_or_dropped_leaves_the_files_to_who_has_said_that_it_serves() {
    for drops in [false, true] {
        let place = Place::new();
        let server = serve(&place.address()).await;
        let before = identity(&place.socket());
        let asker = Asker::ready(&place).await;
        // Nothing in between at which the server could look.
        let said = send_msg(&asker.0, &SERVING, &[]);
        said.unwrap();
        if drops {
            server.abandon().await;
        } else {
            assert_eq!(server.report().await.aborted, 0);
        }
        assert_eq!(identity(&place.socket()), before);
        assert_eq!(place.names().len(), 3);
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_offer_back() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    server.abandon().await;
    place.assert_empty();
    assert!(asker.0.send(&SERVING).await.is_err());
    assert_eq!(asker.hear().await.0, CANCEL);
}

#[tokio::test]
async fn a_server_that_is_stopped_accepts_until_its_successor_serves() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let before = identity(&place.socket());
    let asker = Asker::ready(&place).await;
    let mut old = Client::connect(&place.address()).await;
    assert_eq!(old.ask("here").await, "here");
    server.stop();
    assert!(!server.is_over().await);
    let mut client = Client::connect(&place.address()).await;
    for _ in 0..2 {
        assert_eq!(client.ask("still here").await, "still here");
        assert_eq!(old.ask("and here").await, "and here");
    }
    assert_eq!(identity(&place.socket()), before);
    asker.say(&SERVING).await;
    assert_eq!(server.result().await.unwrap().drained, 2);
    assert_eq!(identity(&place.socket()), before);
}

/// Half of the time is for the drain of what was accepted meanwhile.
#[tokio::test]
async fn a_server_that_is_stopped_waits_for_its_successor_and_leaves_the_path_to_it() {
    let place = Place::new();
    // That does not count any more.
    let impatient = takeover().patience(Duration::from_secs(1));
    let listener: Listener = in_time(impatient.listen(&place.address())).await.unwrap();
    let server = Running::start(Server::new(), listener, echo_lines);
    let before = identity(&place.socket());
    let asker = Asker::ready(&place).await;
    let clock = Clock::stop();
    server.stop();
    clock.pass(DRAIN / 4).await;
    assert!(!server.is_over().await);
    clock.pass(DRAIN / 4 - MILLISECOND).await;
    assert!(!server.is_over().await);
    clock.pass(2 * MILLISECOND).await;
    server.result().await.unwrap();
    assert_eq!(identity(&place.socket()), before);
    assert!(asker.0.send(&SERVING).await.is_err());
    assert_eq!(asker.hear().await, (vec![], 0));
}

#[tokio::test]
async fn a_server_that_drains_without_a_limit_waits_for_its_successor_as_long_as_for_any() {
    let place = Place::new();
    let listener = listen(&place.address()).await;
    let server = Server::new().drain_timeout(Duration::MAX);
    let server = Running::start(server, listener, echo_lines);
    let asker = Asker::ready(&place).await;
    let clock = Clock::stop();
    server.stop();
    clock.pass(Duration::from_secs(31)).await;
    server.result().await.unwrap();
    place.assert_empty();
    assert_eq!(asker.hear().await.0, CANCEL);
}

#[tokio::test]
async fn a_server_that_is_stopped_leaves_nothing_to_a_successor_that_is_not_ready() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::offered(&place).await;
    let clock = Clock::stop();
    server.stop();
    clock.pass(DRAIN).await;
    server.result().await.unwrap();
    place.assert_empty();
    assert!(asker.0.send(&READY).await.is_err());
    assert_eq!(asker.hear().await.0, CANCEL);
}

#[tokio::test]
async fn a_successor_that_gives_up_while_the_server_stops_leaves_it_to_end_in_order() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    server.stop();
    assert!(!server.is_over().await);
    drop(asker);
    server.result().await.unwrap();
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_of_a_server_that_was_stopped_meanwhile_serves_those_who_wait() {
    let place = Place::new();
    let before = async || {
        let listener = left(&place).await;
        let mut client = Client::connect(&place.address()).await;
        client.send("hello\n").await;
        (listener, client)
    };
    let (listener, mut client) = before().await;
    let second = Running::start(Server::new(), listener, echo_lines);
    assert_eq!(client.line().await, "hello");
    second.report().await;
    place.assert_empty();
    // It is stopped as well, before it has served.
    let (listener, mut client) = before().await;
    let second = Running::start(Server::new(), listener, echo_lines);
    second.stop();
    assert_eq!(client.line().await, "hello");
    let report = second.result().await.unwrap();
    assert_eq!((report.drained, report.aborted), (1, 0));
    place.assert_empty();
}

/// The listener of a successor whose predecessor was stopped while it held that.
async fn left(place: &Place) -> Listener {
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    first.stop();
    clock.pass(DRAIN + MILLISECOND).await;
    first.result().await.unwrap();
    drop(clock);
    tokio::time::resume();
    listener
}

#[tokio::test]
async fn a_successor_of_a_server_that_was_dropped_meanwhile_claims_the_path() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await;
    first.abandon().await;
    place.assert_empty();
    let second = Running::start(Server::new(), listener, echo_lines);
    let mut client = connect_when_there(&place).await;
    assert_eq!(client.ask("hello").await, "hello");
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_path_that_was_left_to_a_successor_that_dies_is_claimed_by_the_next_one() {
    let place = Place::new();
    drop(left(&place).await);
    let next = serve(&place.address()).await;
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    next.report().await;
    place.assert_empty();
}

async fn connect_when_there(place: &Place) -> Client {
    let connector = Connector::new().wait_for(PATIENCE);
    Client::from(connector.connect(&place.address()).await.unwrap())
}

#[tokio::test]
async fn a_server_of_one_connection_takes_its_offer_back_before_it_refuses_others() {
    let place = Place::new();
    let listener = listen(&place.address()).await;
    let server = Running::start(Server::new().once(), listener, echo_lines);
    let asker = Asker::ready(&place).await;
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("hello").await, "hello");
    assert_eq!(asker.hear().await.0, CANCEL);
    assert!(asker.0.send(&SERVING).await.is_err());
    assert_eq!(place.names(), ["app.sock.lock"]);
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    assert_eq!(server.result().await.unwrap().served, 1);
    place.assert_empty();
}
