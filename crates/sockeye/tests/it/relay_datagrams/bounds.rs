//! Bounds on senders and on what waits.

use sockeye::Datagram;

use super::{RelayPlace, SECOND, answer, assert_empty, receive, send, text};
use crate::support::serving::{Clock, MILLISECOND, in_time, settled};

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
async fn answers_over_the_bytes_that_may_wait_are_dropped_after_a_second() {
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    // It does not wait itself.
    rustix::net::sockopt::set_socket_send_buffer_size(&target, 1 << 20).unwrap();
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
    for sender in &at_target {
        for _ in 0..30 {
            target.try_send_msg_to(&answer, &[], sender).unwrap();
        }
    }
    clock.pass(SECOND + 30 * MILLISECOND).await;
    drop(clock);
    // One sender may have a quarter of the bytes and one answer more, and all have no more than the
    // whole.
    let waiting = [3, 3, 2, 0, 0].iter();
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
    let report = relay.report().await;
    assert_eq!(report.to_client.datagrams, arrived);
    assert_eq!(report.to_client.dropped, 5 * 30 - arrived);
}

/// Its target waits, as it would without a relay.
#[tokio::test]
async fn a_client_that_reads_slowly_loses_nothing() {
    const COUNT: usize = 600;
    let place = RelayPlace::new();
    let clock = Clock::stop();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).max_buffered(8100));
    let to = rustix::net::SocketAddrUnix::new(place.0.at("relay.sock")).unwrap();
    let client = Datagram::unclaimed().unwrap();
    client.try_send_msg_to(b"x", &[], &to).unwrap();
    let sender = receive(&target).await.1.sender.unwrap();
    let sends = async {
        for number in 0..COUNT {
            let answer = format!("{number:1000}");
            target
                .send_msg_to(answer.as_bytes(), &[], &sender)
                .await
                .unwrap();
        }
    };
    let reads = async {
        for number in 0..COUNT {
            clock.pass(50 * MILLISECOND).await;
            assert_eq!(text(&client).await, format!("{number:1000}"));
        }
    };
    in_time(async { tokio::join!(sends, reads) }).await;
    drop(clock);
    let report = relay.report().await;
    assert_eq!(
        (report.to_client.datagrams, report.to_client.dropped),
        (COUNT as u64, 0)
    );
}
