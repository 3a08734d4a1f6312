//! Graceful shutdown.

use std::io::ErrorKind;

use sockeye::{Claim, Datagram};
use tokio_util::sync::CancellationToken;

use super::{RelayPlace, RunningRelay, SECOND, answer, receive, send, text};
use crate::support::serving::{Clock, MILLISECOND, settled};

#[tokio::test]
async fn what_is_queued_is_passed_on_and_answered() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    send(&client, "before").await;
    settled().await;
    // Not passed on yet: no task has run since.
    for number in 0..5 {
        client
            .try_send_msg(number.to_string().as_bytes(), &[])
            .unwrap();
    }
    relay.stop();
    settled().await;
    let gone = std::io::Error::from(client.try_send_msg(b"late", &[]).unwrap_err());
    assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
    assert!(!place.0.at("relay.sock").exists());
    assert_eq!(answer(&target).await.0, "before");
    clock.pass(SECOND - 2 * MILLISECOND).await;
    for number in 0..5 {
        assert_eq!(answer(&target).await.0, number.to_string());
    }
    settled().await;
    assert!(!relay.run.is_finished());
    clock.pass(SECOND + 2 * MILLISECOND).await;
    assert!(relay.run.is_finished(), "quiet for a second");
    for expected in ["re: before", "re: 0", "re: 1", "re: 2", "re: 3", "re: 4"] {
        assert_eq!(text(&client).await, expected);
    }
    let report = relay.report().await;
    assert_eq!((report.to_target.datagrams, report.drained), (6, 5));
    assert_eq!(report.to_client.datagrams, 6);
}

#[tokio::test]
async fn the_drain_timeout_counts_what_is_left() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.relay_to(["target.sock"]).drain_timeout(2 * SECOND);
    let relay = place.run(relay);
    let client = place.client().await;
    let mut sent = 0;
    loop {
        settled().await;
        if client.try_send_msg(b"x", &[]).is_err() {
            break;
        }
        sent += 1;
    }
    relay.stop();
    clock.pass(2 * SECOND - MILLISECOND).await;
    assert!(!relay.run.is_finished());
    clock.pass(2 * MILLISECOND).await;
    assert!(relay.run.is_finished());
    let mut arrived = 0;
    while target.try_recv(&mut [0; 9]).unwrap().is_some() {
        arrived += 1;
    }
    let report = relay.report().await;
    assert_eq!(report.to_target.datagrams, arrived);
    assert_eq!(report.to_target.aborted, sent - arrived);
}

#[tokio::test]
async fn an_abort_counts_the_answers_that_wait() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let abort = CancellationToken::new();
    let relay = place.run(place.relay_to(["target.sock"]).abort_on(abort.clone()));
    let deaf = Datagram::unclaimed().unwrap();
    let to = rustix::net::SocketAddrUnix::new(place.0.at("relay.sock")).unwrap();
    deaf.try_send_msg_to(b"x", &[], &to).unwrap();
    let sender = receive(&target).await.1.sender.unwrap();
    let sent = 40;
    for _ in 0..sent {
        target.try_send_msg_to(b"answer", &[], &sender).unwrap();
        settled().await;
    }
    relay.stop();
    settled().await;
    assert!(!relay.run.is_finished());
    abort.cancel();
    drop(clock);
    let report = relay.report().await;
    let mut arrived = 0;
    while deaf.try_recv(&mut [0; 9]).unwrap().is_some() {
        arrived += 1;
    }
    assert_eq!(report.to_client.datagrams, arrived);
    assert_eq!(report.to_client.aborted, sent - arrived);
}

#[tokio::test]
async fn the_queue_of_an_adopted_socket_is_left_to_others() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let other = Claim::options()
        .claim(&place.address("relay.sock"))
        .unwrap();
    let other = Datagram::from_claim(other).unwrap();
    let adopted = Datagram::adopt(
        std::os::fd::AsFd::as_fd(&other)
            .try_clone_to_owned()
            .unwrap(),
    );
    let relay = RunningRelay::start(place.relay_to(["target.sock"]), adopted.unwrap());
    let client = place.client().await;
    send(&client, "one").await;
    assert_eq!(text(&target).await, "one");
    settled().await;
    client.try_send_msg(b"two", &[]).unwrap();
    relay.stop();
    drop(clock);
    let report = relay.report().await;
    assert_eq!(report.to_target.datagrams, 1);
    assert_eq!(text(&other).await, "two");
    send(&client, "three").await;
    assert_eq!(text(&other).await, "three");
}

#[tokio::test]
async fn an_idle_relay_ends_if_asked_to() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).exit_idle(5 * SECOND));
    let client = place.client().await;
    clock.pass(5 * SECOND - MILLISECOND).await;
    send(&client, "question").await;
    settled().await;
    clock.pass(5 * SECOND - MILLISECOND).await;
    answer(&target).await;
    assert_eq!(text(&client).await, "re: question");
    clock.pass(5 * SECOND - MILLISECOND).await;
    assert!(!relay.run.is_finished());
    clock.pass(2 * MILLISECOND).await;
    assert!(relay.run.is_finished());
    drop(clock);
    assert_eq!(relay.report().await.to_client.datagrams, 1);
}
