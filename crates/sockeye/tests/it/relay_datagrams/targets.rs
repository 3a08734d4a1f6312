//! Several targets, slow ones and dead ones.

use std::os::fd::AsFd;

use sockeye::relay::{DatagramRelay, DatagramRelayError};
use sockeye::{Address, Datagram};

use super::{RelayPlace, SECOND, answer, assert_empty, send, text};
use crate::support::serving::{Clock, MILLISECOND, in_time, settled};

#[tokio::test]
async fn senders_take_the_targets_in_turn_and_stay_with_theirs() {
    let place = RelayPlace::new();
    let targets = [place.bound("0.sock"), place.bound("1.sock")];
    let relay = place.run(place.relay_to(["0.sock", "1.sock"]));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(place.client().await);
    }
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            send(client, &format!("{number} {round}")).await;
            let target = &targets[number % 2];
            assert_eq!(text(target).await, format!("{number} {round}"));
        }
    }
    assert_eq!(relay.quick_report().await.senders, 4);
}

#[tokio::test]
async fn the_senders_of_a_target_that_has_died_get_the_next_one() {
    let place = RelayPlace::new();
    let first = place.bound("0.sock");
    let second = place.bound("1.sock");
    let relay = place.run(place.relay_to(["0.sock", "1.sock"]));
    let (one, other) = (place.client().await, place.client().await);
    send(&one, "a").await;
    assert_eq!(answer(&first).await.0, "a");
    send(&other, "b").await;
    assert_eq!(text(&second).await, "b");
    drop(first);
    send(&one, "c").await;
    assert_eq!(answer(&second).await.0, "c");
    assert_eq!(
        (text(&one).await, text(&one).await),
        ("re: a".into(), "re: c".into())
    );
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.dropped),
        (3, 0)
    );
}

#[tokio::test]
async fn a_target_that_was_restarted_is_connected_to_anew() {
    let place = RelayPlace::new();
    let target = place.bound("0.sock");
    let relay = place.run(place.relay_to(["0.sock"]));
    let client = place.client().await;
    send(&client, "a").await;
    assert_eq!(text(&target).await, "a");
    drop(target);
    send(&client, "nobody").await;
    settled().await;
    let target = place.bound("0.sock");
    send(&client, "b").await;
    assert_eq!(answer(&target).await.0, "b");
    assert_eq!(text(&client).await, "re: b");
    drop(target);
    let target = place.bound("0.sock");
    send(&client, "c").await;
    assert_eq!(answer(&target).await.0, "c");
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.dropped),
        (3, 1)
    );
    assert_eq!(report.summary().aborted, 1);
}

/// Fills the queue of a target through the relay, whose own queue is then full as well.
async fn fill(client: &Datagram) -> usize {
    let mut sent = 0;
    loop {
        settled().await;
        match client.try_send_msg(sent.to_string().as_bytes(), &[]) {
            Ok(()) => sent += 1,
            Err(_) => return sent,
        }
    }
}

#[tokio::test]
async fn a_full_target_stops_the_senders_and_loses_nothing() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("0.sock");
    let relay = place.run(place.relay_to(["0.sock"]));
    let client = place.client().await;
    let sent = fill(&client).await;
    for number in 0..sent {
        // No time passes: the kernel reports the room.
        assert_eq!(text(&target).await, number.to_string());
        settled().await;
    }
    assert_empty(&target);
    drop(clock);
    let report = relay.report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.dropped),
        (sent as u64, 0)
    );
}

#[tokio::test]
async fn a_target_that_never_reads_holds_up_the_others_for_the_deadline_only() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let deaf = place.bound("0.sock");
    let quick = place.bound("1.sock");
    let relay = place
        .relay_to(["0.sock", "1.sock"])
        .send_timeout(3 * SECOND);
    let relay = place.run(relay);
    let (client, other) = (place.client().await, place.client().await);
    let sent = fill(&client).await;
    clock.pass(3 * SECOND + 21 * MILLISECOND).await;
    for number in 0..50 {
        send(&other, &number.to_string()).await;
        assert_eq!(text(&quick).await, number.to_string());
        client.try_send_msg(b"dropped at once", &[]).unwrap();
        settled().await;
    }
    let mut queued = 0;
    while deaf.try_recv(&mut [0; 99]).unwrap().is_some() {
        queued += 1;
    }
    send(&client, "there is room").await;
    assert_eq!(text(&deaf).await, "there is room");
    drop(clock);
    let report = relay.report().await;
    assert_eq!(report.to_target.datagrams, queued + 51);
    assert_eq!(report.to_target.dropped, sent as u64 + 50 - queued);
}

#[tokio::test]
async fn addresses_that_are_no_targets_are_errors() {
    let place = RelayPlace::new();
    let run = async |targets: Vec<Address>| {
        let socket = place.bound("relay.sock");
        let relay = DatagramRelay::new(targets);
        in_time(relay.run(socket, std::future::pending()))
            .await
            .unwrap_err()
    };
    assert!(matches!(run(vec![]).await, DatagramRelayError::NoTarget));
    for wrong in ["/a/stream", "dgram:fd:3", "dgram:systemd:x"] {
        let wrong: Address = wrong.parse().unwrap();
        let error = run(vec![place.address("0.sock"), wrong.clone()]).await;
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
    let own = run(vec![place.address("relay.sock")]).await;
    assert!(matches!(own, DatagramRelayError::Itself(_)), "{own}");
    // Each of them has released the address.
    let socket = place.bound("relay.sock");
    assert!(socket.as_fd().try_clone_to_owned().is_ok());
}

/// Each datagram that a client could send is in the report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_datagram_is_lost_silently_while_targets_come_and_go() {
    const COUNT: u64 = 400;
    let place = RelayPlace::new();
    let relay = place.relay_to(["0.sock", "1.sock"]).max_senders(3);
    let relay = place.run(relay.send_timeout(SECOND / 50));
    let targets = async {
        for round in 0.. {
            let target = place.bound(["0.sock", "1.sock"][round % 2]);
            let mut buffer = [0; 99];
            // It ends with some in its queue.
            for _ in 0..round % 20 {
                let received = target.recv_msg(&mut buffer).await.unwrap();
                let answer = target.try_send_msg_to(b"answer", &[], &received.sender.unwrap());
                let _ = answer;
            }
        }
    };
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(place.client().await);
    }
    let sends = async |client: &Datagram| {
        for _ in 0..COUNT {
            client.send_msg(b"question", &[]).await.unwrap();
        }
    };
    let all = async {
        let [a, b, c, d, e] = &clients[..] else {
            unreachable!("five clients")
        };
        tokio::join!(sends(a), sends(b), sends(c), sends(d), sends(e))
    };
    in_time(async {
        tokio::select! {
            _ = all => {}
            () = targets => {}
        }
    })
    .await;
    let report = relay.report().await;
    let passed = report.to_target;
    assert_eq!(
        passed.datagrams + passed.dropped + passed.aborted,
        5 * COUNT,
        "{report:?}"
    );
    assert!(passed.datagrams > 0 && passed.refused == 0, "{report:?}");
}
