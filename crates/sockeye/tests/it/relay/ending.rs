//! How a direction ends is passed on.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use sockeye::relay::{DirectionEnd, FdPolicy, Relay};
use tokio::task::spawn_blocking;

use super::joined;

#[tokio::test]
async fn a_reset_is_no_eof() {
    for policy in [FdPolicy::Pass, FdPolicy::Refuse] {
        let (mut client, mut target, relay) = joined(&Relay::new().fds(policy));
        target.write_all(b"part of an answer").unwrap();
        let flooding = spawn_blocking(move || {
            // In small pieces: of a large one that breaks off the kernel reports no reset.
            let sent = loop {
                if let Err(error) = client.write_all(&[0; 16 << 10]) {
                    break error;
                }
            };
            let mut answer = Vec::new();
            let read = client.read_to_end(&mut answer);
            assert_eq!(answer, b"part of an answer");
            // The kernel reports it once, to whichever call comes first.
            let kinds = [Some(sent), read.err()].map(|error| error.map(|error| error.kind()));
            assert!(
                kinds.contains(&Some(ErrorKind::ConnectionReset)),
                "{kinds:?}"
            );
        });
        let target = spawn_blocking(move || {
            target.read_exact(&mut [0; 1 << 20]).unwrap();
            // Only unread input makes a close a reset.
            while rustix::io::ioctl_fionread(&target).unwrap() == 0 {
                std::thread::yield_now();
            }
        });
        target.await.unwrap();
        flooding.await.unwrap();
        let report = relay.await.unwrap();
        assert_eq!(report.to_client.end, DirectionEnd::Reset);
    }
}

#[tokio::test]
async fn a_reader_that_takes_no_more_is_told_to_the_writer_and_may_still_answer() {
    for policy in [FdPolicy::Pass, FdPolicy::Refuse] {
        let (mut client, mut target, relay) = joined(&Relay::new().fds(policy));
        let client = spawn_blocking(move || {
            let sent = client.write_all(&vec![0; 8 << 20]).unwrap_err();
            assert_eq!(sent.kind(), ErrorKind::BrokenPipe);
            let mut answer = [0; 6];
            client.read_exact(&mut answer).unwrap();
            (client, answer)
        });
        let target = spawn_blocking(move || {
            target.read_exact(&mut [0; 1 << 20]).unwrap();
            target.shutdown(Shutdown::Read).unwrap();
            let mut rest = Vec::new();
            target.read_to_end(&mut rest).unwrap();
            target.write_all(b"enough").unwrap();
            target
        });
        let target = target.await.unwrap();
        let (_client, answer) = client.await.unwrap();
        assert_eq!(&answer, b"enough");
        drop(target);
        let report = relay.await.unwrap();
        assert_eq!(report.to_target.end, DirectionEnd::ReaderClosed);
        assert_eq!(report.to_client.end, DirectionEnd::Eof);
    }
}

/// epoll(7) does not report `SHUT_RD` to a writer that waits for room.
#[tokio::test]
async fn a_reader_that_takes_no_more_is_noticed_while_its_queue_is_full() {
    for policy in [FdPolicy::Pass, FdPolicy::Refuse] {
        let (mut client, target, relay) = joined(&Relay::new().fds(policy));
        let client = spawn_blocking(move || {
            loop {
                if let Err(error) = client.write_all(&[0; 16 << 10]) {
                    return error.kind();
                }
            }
        });
        let target = spawn_blocking(move || {
            // Until the relay waits for room: then no more comes.
            let queued = || rustix::io::ioctl_fionread(&target).unwrap();
            while queued() < 100_000 {
                std::thread::yield_now();
            }
            target.shutdown(Shutdown::Read).unwrap();
            target
        });
        let target = target.await.unwrap();
        assert_eq!(client.await.unwrap(), ErrorKind::BrokenPipe);
        drop(target);
        relay.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_reads_no_more_learns_that_its_target_has_gone() {
    let (client, target, relay) = joined(&Relay::new());
    client.shutdown(Shutdown::Read).unwrap();
    spawn_blocking(move || {
        let mut target = target;
        while target.write_all(b"x").is_ok() {}
    })
    .await
    .unwrap();
    // The target is closed now, and nobody sends.
    let report = relay.await.unwrap();
    assert_eq!(report.to_client.end, DirectionEnd::ReaderClosed);
    drop(client);
}
