//! Fds arrive with their byte.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use sockeye::relay::{FdPolicy, Relay};
use sockeye::{Stream, recv_msg, send_msg};

use super::joined;

#[tokio::test]
async fn fds_arrive_with_the_byte_that_they_were_sent_with() {
    let (mut client, mut target, relay) = joined(&Relay::new());
    let file = std::fs::File::open("/dev/null").unwrap();
    client.write_all(b"a header of 16 b").unwrap();
    send_msg(&client, b"body", &[file.as_fd(); 253]).unwrap();
    client.write_all(b"more").unwrap();
    let received = tokio::task::spawn_blocking(move || {
        let mut header = [0; 16];
        target.read_exact(&mut header).unwrap();
        assert_eq!(&header, b"a header of 16 b");
        let mut buffer = [0; 64];
        let body = recv_msg(&target, &mut buffer).unwrap().unwrap();
        let text = buffer[..body.bytes].to_vec();
        (text, body.descriptors.len())
    });
    assert_eq!(received.await.unwrap(), (b"body".to_vec(), 253));
    drop(client);
    let report = relay.await.unwrap();
    assert_eq!(report.to_target.fds, 253);
}

#[tokio::test]
async fn fds_pass_two_relays_in_a_row() {
    let (client, one) = Stream::pair().unwrap();
    let (other, third) = Stream::pair().unwrap();
    let (fourth, target) = Stream::pair().unwrap();
    let client = client.into_std().unwrap();
    let mut target = target.into_std().unwrap();
    let relay = Relay::new();
    // All is queued before either of them begins.
    (&client).write_all(b"a header of 16 b").unwrap();
    for count in [1, 2, 253] {
        send_msg(&client, b"body", &vec![client.as_fd(); count]).unwrap();
        (&client).write_all(b"plain").unwrap();
    }
    drop(client);
    let (one, two) = (relay.join(one, other), relay.join(third, fourth));
    let relays = tokio::spawn(async { tokio::join!(one, two) });
    let received = tokio::task::spawn_blocking(move || {
        target.read_exact(&mut [0; 16]).unwrap();
        for count in [1, 2, 253] {
            let mut buffer = [0; 64];
            let body = recv_msg(&target, &mut buffer).unwrap().unwrap();
            assert_eq!(&buffer[..body.bytes], b"body");
            assert_eq!(body.descriptors.len(), count);
            target.read_exact(&mut [0; 5]).unwrap();
        }
        assert!(recv_msg(&target, &mut [0; 64]).unwrap().is_none());
    });
    received.await.unwrap();
    let (one, other) = relays.await.unwrap();
    assert_eq!(one.unwrap().to_target, other.unwrap().to_target);
}

/// The kernel keeps 48 KiB of a message together.
#[tokio::test]
async fn fds_arrive_behind_more_than_is_peeked_at() {
    let (client, mut target, relay) = joined(&Relay::new());
    let before = 150_000;
    let receiving = tokio::task::spawn_blocking(move || {
        target.read_exact(&mut vec![0; before]).unwrap();
        let mut buffer = vec![0; 100_000];
        let body = recv_msg(&target, &mut buffer).unwrap().unwrap();
        assert_eq!(body.descriptors.len(), 1);
        let mut rest = 100_000 - body.bytes;
        while rest > 0 {
            let more = recv_msg(&target, &mut buffer).unwrap().unwrap();
            assert!(more.descriptors.is_empty());
            rest -= more.bytes;
        }
        assert!(recv_msg(&target, &mut buffer).unwrap().is_none());
    });
    let sending = tokio::task::spawn_blocking(move || {
        (&client).write_all(&vec![1; before]).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send_msg(&client, &vec![2; 100_000], &[file.as_fd()]).unwrap();
    });
    sending.await.unwrap();
    receiving.await.unwrap();
    assert_eq!(relay.await.unwrap().to_target.fds, 1);
}

#[tokio::test]
async fn dropped_fds_are_counted() {
    let (client, mut target, relay) = joined(&Relay::new().fds(FdPolicy::Drop));
    send_msg(&client, b"body", &[client.as_fd(); 3]).unwrap();
    drop(client);
    let receiving = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        target.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(receiving.await.unwrap(), "body");
    let report = relay.await.unwrap();
    assert_eq!((report.to_target.fds, report.to_target.lost_fds), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reader_does_not_leave_many_fds_unread() {
    const MESSAGES: usize = 30;
    let (client, target, relay) = joined(&Relay::new());
    let receiving = tokio::task::spawn_blocking(move || {
        let mut most = 0;
        for _ in 0..MESSAGES {
            // The bound has room for so many.
            let mut queued = 0;
            for _ in 0..100 {
                queued = rustix::io::ioctl_fionread(&target).unwrap();
                std::thread::yield_now();
            }
            most = most.max(queued);
            let received = recv_msg(&target, &mut [0; 1]).unwrap().unwrap();
            assert_eq!(received.descriptors.len(), 253);
        }
        most
    });
    let sending = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open("/dev/null").unwrap();
        for _ in 0..MESSAGES {
            send_msg(&client, b"x", &[file.as_fd(); 253]).unwrap();
        }
    });
    sending.await.unwrap();
    assert!(receiving.await.unwrap() <= 4);
    assert_eq!(relay.await.unwrap().to_target.fds, 30 * 253);
}
