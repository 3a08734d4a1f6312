//! fd passing through a relay.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sockeye::relay::FdPolicy;
use sockeye::{Claim, Datagram, SendError};

use super::{RelayPlace, RunningRelay, assert_empty, receive, send, text};
use crate::support::serving::{in_time, settled};

/// A pipe with a byte in it, which tells it from others.
fn pipe_with(mark: u8) -> OwnedFd {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(&[mark]).unwrap();
    read.into()
}

fn marks(fds: Vec<OwnedFd>) -> Vec<u8> {
    let mark = |fd| {
        let mut mark = [0];
        File::from(fd).read_exact(&mut mark).unwrap();
        mark[0]
    };
    fds.into_iter().map(mark).collect()
}

#[tokio::test]
async fn fds_arrive_with_their_datagram_both_ways() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    for count in [1, 2, 253] {
        let pipes: Vec<OwnedFd> = (0..count).map(|mark| pipe_with(mark as u8)).collect();
        let fds: Vec<BorrowedFd<'_>> = pipes.iter().map(AsFd::as_fd).collect();
        in_time(client.send_msg(b"with", &fds)).await.unwrap();
        send(&client, "without").await;
        let (bytes, received) = receive(&target).await;
        assert_eq!(bytes, b"with");
        let expected: Vec<u8> = (0..count).map(|mark| mark as u8).collect();
        assert_eq!(marks(received.descriptors), expected);
        assert_eq!(receive(&target).await.1.descriptors.len(), 0);

        let back = [pipe_with(77), pipe_with(78)];
        let fds = [back[0].as_fd(), back[1].as_fd()];
        // An empty datagram can have some too.
        in_time(target.send_msg_to(b"", &fds, &received.sender.unwrap()))
            .await
            .unwrap();
        let (bytes, received) = receive(&client).await;
        assert_eq!(
            (bytes.len(), marks(received.descriptors)),
            (0, vec![77, 78])
        );
    }
    let report = relay.quick_report().await;
    assert_eq!((report.to_target.fds, report.to_client.fds), (256, 6));
    assert_eq!(
        (report.to_target.lost_fds, report.to_client.lost_fds),
        (0, 0)
    );
}

#[tokio::test]
async fn refused_fds_fail_at_their_sender() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).fds(FdPolicy::Refuse));
    let client = place.client().await;
    let pipe = pipe_with(1);
    let refused = client.send_msg(b"with", &[pipe.as_fd()]).await;
    assert!(
        matches!(refused, Err(SendError::DescriptorsRefused)),
        "{refused:?}"
    );
    send(&client, "without").await;
    let (bytes, received) = receive(&target).await;
    assert_eq!(bytes, b"without");
    let sender = received.sender.unwrap();
    let refused = target.send_msg_to(b"with", &[pipe.as_fd()], &sender).await;
    assert!(
        matches!(refused, Err(SendError::DescriptorsRefused)),
        "{refused:?}"
    );
    assert_eq!(relay.quick_report().await.to_target.datagrams, 1);
}

/// As before Linux 6.16, which cannot refuse fds.
#[tokio::test]
async fn fds_that_came_before_they_were_refused_drop_their_datagram() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let claim = Claim::options()
        .allow_fd_passing(true)
        .claim(&place.address("relay.sock"));
    let socket = Datagram::from_claim(claim.unwrap()).unwrap();
    let client = place.client().await;
    let pipe = pipe_with(1);
    client
        .send_msg(b"with", &[pipe.as_fd(), pipe.as_fd()])
        .await
        .unwrap();
    send(&client, "without").await;
    let relay = place.relay_to(["target.sock"]).fds(FdPolicy::Refuse);
    let relay = RunningRelay::start(relay, socket);
    assert_eq!(text(&target).await, "without");
    assert_empty(&target);
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.refused, report.to_target.lost_fds),
        (1, 2)
    );
}

#[tokio::test]
async fn dropped_fds_are_closed_and_counted() {
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]).fds(FdPolicy::Drop));
    let client = place.client().await;
    let (mut read, write) = std::io::pipe().unwrap();
    client.send_msg(b"with", &[write.as_fd()]).await.unwrap();
    drop(write);
    let (bytes, received) = receive(&target).await;
    assert_eq!((&bytes[..], received.descriptors.len()), (&b"with"[..], 0));
    // EOF comes when the last copy of the writing side is closed.
    let end = tokio::task::spawn_blocking(move || read.read(&mut [0]).unwrap());
    assert_eq!(in_time(end).await.unwrap(), 0);
    let pipe = pipe_with(1);
    let sender = received.sender.unwrap();
    target
        .send_msg_to(b"back", &[pipe.as_fd()], &sender)
        .await
        .unwrap();
    let (bytes, received) = receive(&client).await;
    assert_eq!((&bytes[..], received.descriptors.len()), (&b"back"[..], 0));
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.lost_fds, report.to_client.lost_fds),
        (1, 1)
    );
    assert_eq!((report.to_target.fds, report.to_client.fds), (0, 0));
}

#[tokio::test]
async fn a_datagram_whose_target_refuses_fds_is_dropped() {
    let place = RelayPlace::new();
    let claim = Claim::options()
        .claim(&place.address("target.sock"))
        .unwrap();
    let target = Datagram::from_claim(claim).unwrap();
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    let pipe = pipe_with(1);
    client.send_msg(b"with", &[pipe.as_fd()]).await.unwrap();
    send(&client, "without").await;
    assert_eq!(text(&target).await, "without");
    let report = relay.quick_report().await;
    assert_eq!(
        (report.to_target.dropped, report.to_target.lost_fds),
        (1, 1)
    );
}

/// Those of all receivers count against one limit, that of the relay's user.
#[tokio::test]
async fn a_receiver_leaves_at_most_1012_fds_unread() {
    const MESSAGES: usize = 6;
    let place = RelayPlace::new();
    let target = place.bound("target.sock");
    let relay = place.run(place.relay_to(["target.sock"]));
    let client = place.client().await;
    let file = File::open("/dev/null").unwrap();
    let fds = [file.as_fd(); 253];
    let mut sender = None;
    for _ in 0..MESSAGES {
        in_time(client.send_msg(b"to the target", &fds))
            .await
            .unwrap();
    }
    settled().await;
    for number in 0..MESSAGES {
        let received = if number < 4 {
            target.try_recv(&mut [0; 99]).unwrap().unwrap()
        } else {
            receive(&target).await.1
        };
        assert_eq!(received.descriptors.len(), 253);
        if number == 3 {
            assert_empty(&target);
        }
        sender = received.sender;
    }
    for _ in 0..MESSAGES {
        in_time(target.send_msg_to(b"back", &fds, sender.as_ref().unwrap()))
            .await
            .unwrap();
        settled().await;
    }
    for number in 0..MESSAGES {
        let received = if number < 4 {
            client.try_recv(&mut [0; 99]).unwrap().unwrap()
        } else {
            receive(&client).await.1
        };
        assert_eq!(received.descriptors.len(), 253);
        if number == 3 {
            assert_empty(&client);
        }
    }
    let report = relay.quick_report().await;
    let all = (MESSAGES * 253) as u64;
    assert_eq!((report.to_target.fds, report.to_client.fds), (all, all));
}
