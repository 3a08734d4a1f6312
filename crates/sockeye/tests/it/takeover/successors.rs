//! Successors that hang, die, talk nonsense or come too late.

use super::*;

#[tokio::test]
async fn a_successor_that_dies_at_any_step_before_it_serves_changes_nothing() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let before = identity(&place.socket());
    for steps in 0..=3 {
        let asker = match steps {
            0 | 1 => Asker::connect(&place).await,
            _ => Asker::offered(&place).await,
        };
        if steps == 1 {
            asker.say(&HELLO).await;
        }
        if steps == 3 {
            asker.say(&READY).await;
        }
        drop(asker);
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here", "step {steps}");
        assert_eq!(identity(&place.socket()), before);
    }
    server.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn nonsense_is_answered_with_a_refusal() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    for nonsense in [&b""[..], &[1, 1], &READY, &[1; 100]] {
        let asker = Asker::connect(&place).await;
        asker.say(nonsense).await;
        assert_eq!(asker.hear().await, (CANCEL.to_vec(), 0), "{nonsense:?}");
        assert_eq!(asker.hear().await, (vec![], 0));
    }
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    server.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn the_predecessor_serves_until_its_successor_does() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    for _ in 0..29 {
        clock.pass(1000 * MILLISECOND).await;
        let mut client = Client::connect(&place.address()).await;
        assert_eq!(client.ask("still here").await, "still here");
    }
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("and here").await, "and here");
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_that_comes_too_late_takes_over_once_more() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let before = identity(&place.socket());
    let listener = listen(&place.address()).await;
    let clock = Clock::stop();
    clock.pass(2 * PATIENCE).await;
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    // Another successor comes in between.
    drop(Asker::ready(&place).await);
    drop(clock);
    tokio::time::resume();
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    assert_eq!(identity(&place.socket()), before);
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_has_as_long_as_the_predecessors_patience() {
    let place = Place::new();
    for patience in [Duration::from_secs(2), Duration::from_secs(600)] {
        let patient = takeover().patience(patience);
        let listener: Listener = in_time(patient.listen(&place.address())).await.unwrap();
        let server = Running::start(Server::new(), listener, echo_lines);
        let slow = Asker::ready(&place).await;
        let next = Asker::connect(&place).await;
        next.say(&HELLO).await;
        let clock = Clock::stop();
        clock.pass(patience - MILLISECOND).await;
        assert!(slow.has_heard_nothing());
        clock.pass(2 * MILLISECOND).await;
        assert_eq!(slow.hear().await.0, CANCEL);
        assert_eq!(next.hear().await, (OFFER.to_vec(), 3));
        drop((slow, next, clock));
        tokio::time::resume();
        server.report().await;
    }
    place.assert_empty();
}

#[tokio::test]
async fn a_successor_that_is_stopped_before_it_serves_leaves_the_path() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let second = listen(&place.address()).await;
    let second = Running::start(Server::new(), second, echo_lines);
    second.stop();
    second.result().await.unwrap();
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("still here").await, "still here");
    drop(client);
    first.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn the_file_has_the_successors_mode_once_that_one_serves() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let wide = Takeover::new(Claim::options().mode(0o666));
    let listener: Listener = in_time(wide.listen(&place.address())).await.unwrap();
    assert_eq!(mode_of(&place.socket()), 0o600);
    let second = Running::start(Server::new(), listener, echo_lines);
    first.result().await.unwrap();
    assert_eq!(mode_of(&place.socket()), 0o666);
    second.report().await;
    place.assert_empty();
}

#[tokio::test]
async fn a_mode_that_a_successor_has_set_before_it_died_is_taken_back() {
    let place = Place::new();
    let first = serve(&place.address()).await;
    let asker = Asker::ready(&place).await;
    set_mode(&place.socket(), 0o666);
    drop(asker);
    let mut client = Client::connect(&place.address()).await;
    assert_eq!(client.ask("hello").await, "hello");
    settled().await;
    assert_eq!(mode_of(&place.socket()), 0o600);
    drop(client);
    first.report().await;
}

#[tokio::test]
async fn silent_connections_keep_no_successor_waiting() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let mut silent = Vec::new();
    for _ in 0..130 {
        silent.push(Asker::connect(&place).await);
        settled().await;
    }
    let asker = Asker::ready(&place).await;
    asker.say(&SERVING).await;
    server.result().await.unwrap();
    // Each got an answer; some were closed to make room before.
    for asker in silent {
        assert_eq!(asker.hear().await.0, CANCEL);
    }
}

/// As many as are held, and more, have asked, and one of them has an offer.
#[tokio::test]
async fn successors_that_hang_keep_the_latest_waiting_for_one_of_them_at_most() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let mut hanging = vec![Asker::offered(&place).await];
    for _ in 0..40 {
        let asker = Asker::connect(&place).await;
        asker.say(&HELLO).await;
        settled().await;
        hanging.push(asker);
    }
    let latest = Asker::connect(&place).await;
    latest.say(&HELLO).await;
    let clock = Clock::stop();
    clock.pass(4000 * MILLISECOND).await;
    assert_eq!(hanging[0].hear().await.0, CANCEL);
    assert_eq!(latest.hear().await, (OFFER.to_vec(), 3));
    latest.say(&READY).await;
    latest.say(&SERVING).await;
    server.result().await.unwrap();
}

#[tokio::test]
async fn one_successor_at_a_time_has_an_offer() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let first = Asker::ready(&place).await;
    let second = Asker::connect(&place).await;
    second.say(&HELLO).await;
    settled().await;
    assert!(second.has_heard_nothing());
    drop(first);
    assert_eq!(second.hear().await, (OFFER.to_vec(), 3));
    drop(second);
    server.report().await;
}

#[tokio::test]
async fn a_successor_that_has_the_descriptors_and_says_nothing_is_given_up() {
    let place = Place::new();
    let server = serve(&place.address()).await;
    let silent = Asker::offered(&place).await;
    let next = Asker::connect(&place).await;
    next.say(&HELLO).await;
    let clock = Clock::stop();
    clock.pass(PATIENCE).await;
    assert_eq!(silent.hear().await, (CANCEL.to_vec(), 0));
    assert_eq!(next.hear().await, (OFFER.to_vec(), 3));
    drop((silent, next));
    server.report().await;
}
