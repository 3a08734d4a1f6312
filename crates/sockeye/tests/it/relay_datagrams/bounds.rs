//! Bounds on senders and on what waits.

use sockeye::Datagram;

use super::{RelayPlace, answer, assert_empty, receive, send, text};
use crate::support::serving::{in_time, settled};

#[tokio::test]
async fn a_new_sender_over_the_limit_takes_the_socket_of_the_least_recent() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).max_senders(2));
    let clients = [
        place.client().await,
        place.client().await,
        place.client().await,
    ];
    let mut at_target = Vec::new();
    for client in &clients {
        // Milliseconds tell who is the least recent.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        send(client, "x").await;
        at_target.push(answer(&target).await.1);
        assert_eq!(text(client).await, "re: x");
    }
    let late = target
        .send_msg_to(b"late", &[], &at_target[0])
        .await
        .unwrap_err();
    let late = std::io::Error::from(late);
    assert_eq!(late.kind(), std::io::ErrorKind::ConnectionRefused);
    target
        .send_msg_to(b"in time", &[], &at_target[1])
        .await
        .unwrap();
    assert_eq!(text(&clients[1]).await, "in time");
    send(&clients[0], "again").await;
    assert_eq!(answer(&target).await.0, "again");
    assert_eq!(text(&clients[0]).await, "re: again");
    let report = relay.quick_report().await;
    assert_eq!((report.senders, report.evicted), (4, 2));
}

#[tokio::test]
async fn answers_over_the_bytes_that_may_wait_are_dropped() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).max_buffered(8100));
    let to = rustix::net::SocketAddrUnix::new(place.0.at("relay.sock")).unwrap();
    let clients = [(); 5].map(|()| Datagram::unclaimed().unwrap());
    let mut at_target = Vec::new();
    for client in &clients {
        client.try_send_msg_to(b"x", &[], &to).unwrap();
        at_target.push(receive(&target).await.1.sender.unwrap());
    }
    let answer = [b'a'; 1000];
    let mut arrived = 0;
    // One sender may have a quarter of the bytes, and all have no more than the whole.
    for sender in &at_target {
        for _ in 0..30 {
            in_time(target.send_msg_to(&answer, &[], sender))
                .await
                .unwrap();
        }
    }
    settled().await;
    // It takes them as they come, and then those that wait.
    let waiting = [2, 2, 2, 2, 0].iter();
    for (client, waiting) in clients.iter().zip(waiting) {
        let mut queued = 0;
        while client.try_recv(&mut [0; 1000]).unwrap().is_some() {
            queued += 1;
        }
        for _ in 0..*waiting {
            assert_eq!(receive(client).await.0, answer);
        }
        settled().await;
        assert_empty(client);
        arrived += queued + waiting;
    }
    let report = relay.quick_report().await;
    assert_eq!(report.to_client.datagrams, arrived);
    assert_eq!(report.to_client.dropped, 5 * 30 - arrived);
}
