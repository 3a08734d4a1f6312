//! What an observer sees of datagrams.

use std::sync::mpsc;

use sockeye::relay::{DirectionEnd, ObserverHandle, ObserverLimits};
use sockeye::{Kind, Peer};
use tokio::task::spawn_blocking;

use super::{RelayPlace, answer, receive, send, text};
use crate::relay::keeper::{Keeper, Slow, ToClient, ToTarget};
use crate::support::serving::in_time;

#[tokio::test]
async fn each_sender_is_a_connection_for_an_observer() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let relay = place
        .relay_to(["target.sock"])
        .allow(sockeye::AllowedPeers::new().same_user())
        .observe(handle);
    let relay = place.run(relay);
    let clients = [place.client().await, place.client().await];
    for round in ["1", "2"] {
        for client in &clients {
            send(client, round).await;
            answer(&target).await;
            assert_eq!(text(client).await, format!("re: {round}"));
        }
    }
    send(&clients[0], "").await;
    assert_eq!(receive(&target).await.0, b"");
    relay.quick_report().await;
    let keeper = in_time(spawn_blocking(|| thread.join().unwrap()))
        .await
        .unwrap();
    let begins = keeper.begins();
    assert_eq!(begins.len(), 2);
    for begin in &begins {
        assert_eq!(begin.kind, Kind::Datagram);
        assert_eq!(begin.client, Some(Peer::own_process()));
    }
    let asked = keeper.pieces(ToTarget);
    let asked: Vec<_> = asked
        .iter()
        .map(|piece| (piece.connection, &piece.bytes[..], piece.is_record))
        .collect();
    let wanted: [(u64, &[u8], bool); 5] = [
        (1, b"1", true),
        (2, b"1", true),
        (1, b"2", true),
        (2, b"2", true),
        (1, b"", true),
    ];
    assert_eq!(asked, wanted);
    assert_eq!(keeper.bytes(ToClient), b"re: 1re: 1re: 2re: 2");
    let ends = keeper.ends();
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(|(_, end)| *end == DirectionEnd::Eof));
}

/// Through a queue of one, with an observer that looks at each until it is told to go on.
#[tokio::test]
async fn a_relay_of_datagrams_waits_for_an_observer_that_is_to_see_everything() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let (go_on, wait) = mpsc::channel();
    let slow = Slow {
        go_on: wait,
        keeper: Keeper::default(),
    };
    let limits = ObserverLimits {
        pieces: 1,
        ..Default::default()
    };
    let (handle, thread) = ObserverHandle::start_complete(slow, limits).unwrap();
    let relay = place.relay_to(["target.sock"]).observe(handle.clone());
    let relay = place.run(relay);
    let client = place.client().await;
    for number in 0..4 {
        send(&client, &number.to_string()).await;
    }
    // The first is passed on and observed; the relay reads no other.
    assert_eq!(receive(&target).await.0, b"0");
    settled(&target).await;
    for number in 1..4 {
        go_on.send(()).unwrap();
        assert_eq!(receive(&target).await.0, number.to_string().as_bytes());
    }
    drop(go_on);
    relay.quick_report().await;
    assert_eq!(handle.missed(), Default::default());
    drop(handle);
    let slow = in_time(spawn_blocking(|| thread.join().unwrap()))
        .await
        .unwrap();
    assert_eq!(slow.keeper.bytes(ToTarget), b"0123");
}

/// The relay has had its turns, and has sent nothing more.
async fn settled(target: &sockeye::Datagram) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    super::assert_empty(target);
}
