//! Boundaries: the sizes of datagrams.

use sockeye::SendError;

use super::{RelayPlace, receive, send, text};
use crate::support::serving::in_time;

#[tokio::test]
async fn datagrams_of_any_size_arrive_whole_both_ways() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    for socket in [&client, &target] {
        // Doubled by the kernel, where net.core.wmem_max lets it.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, 8 << 20);
    }
    let largest = match client.send_msg(&vec![0; 16 << 20], &[]).await {
        Err(SendError::TooLong { buffer, .. }) => buffer.min(4 << 20) - 32,
        other => panic!("{other:?}"),
    };
    for size in [0, 1, 8191, 8192, 8193, 100_000, 212_960, largest] {
        let datagram: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
        in_time(client.send_msg(&datagram, &[])).await.unwrap();
        let (bytes, received) = receive(&target).await;
        assert!(bytes == datagram, "{size}: {} came", bytes.len());
        let sender = received.sender.unwrap();
        in_time(target.send_msg_to(&datagram, &[], &sender))
            .await
            .unwrap();
        let (bytes, _) = receive(&client).await;
        assert!(bytes == datagram, "{size}: {} came back", bytes.len());
    }
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_client.datagrams),
        (8, 8)
    );
    assert_eq!((report.to_target.dropped, report.to_client.dropped), (0, 0));
}

#[tokio::test]
async fn a_datagram_over_the_limit_is_dropped_and_those_around_it_arrive() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).max_record(4));
    let client = place.client().await;
    for datagram in ["1234", "12345", "", "4321"] {
        send(&client, datagram).await;
    }
    let (first, received) = receive(&target).await;
    assert_eq!(first, b"1234");
    assert_eq!(
        (text(&target).await, text(&target).await),
        (String::new(), "4321".to_owned())
    );
    let sender = received.sender.unwrap();
    for datagram in [&b"12345"[..], b"5678"] {
        in_time(target.send_msg_to(datagram, &[], &sender))
            .await
            .unwrap();
    }
    assert_eq!(text(&client).await, "5678");
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.datagrams, report.to_target.refused),
        (3, 1)
    );
    assert_eq!(
        (report.to_client.datagrams, report.to_client.refused),
        (1, 1)
    );
    assert_eq!(report.summary().refused, 1);
}
