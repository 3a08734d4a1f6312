//! Bytes of streams, by each path.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use sockeye::relay::{DirectionEnd, FdPolicy, Relay, RelayEnd};

use super::joined;

const MANY: usize = 40 << 20;

/// Writes a pattern and half-closes, while it reads to EOF; returns how much came and whether it was the
/// pattern.
fn talk(socket: UnixStream, seed: u8) -> JoinHandle<(usize, bool)> {
    let mut writer = socket.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let pattern: Vec<u8> = (0..251).map(|n: u8| n.wrapping_add(seed)).collect();
        let block = pattern.repeat(400);
        let mut left = MANY;
        while left > 0 {
            let count = writer.write(&block[..left.min(block.len())]).unwrap();
            left -= count;
            if count < block.len() && left > 0 {
                let rest = &block[count..];
                writer.write_all(&rest[..rest.len().min(left)]).unwrap();
                left -= rest.len().min(left);
            }
        }
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    thread::spawn(move || {
        let mut all = Vec::new();
        (&socket).read_to_end(&mut all).unwrap();
        sending.join().unwrap();
        let first = all.first().copied().unwrap_or_default();
        let fits = all
            .iter()
            .enumerate()
            .all(|(at, &byte)| byte == ((at % 251) as u8).wrapping_add(first));
        (all.len(), fits)
    })
}

#[tokio::test]
async fn bytes_arrive_both_ways_by_each_path() {
    for policy in [FdPolicy::Pass, FdPolicy::Refuse, FdPolicy::Drop] {
        let (client, target, relay) = joined(&Relay::new().fds(policy));
        let (one, other) = (talk(client, 1), talk(target, 2));
        let report = relay.await.unwrap();
        println!("{report:?}");
        assert_eq!(one.join().unwrap(), (MANY, true), "{policy:?}");
        assert_eq!(other.join().unwrap(), (MANY, true), "{policy:?}");
        assert_eq!(report.to_target.bytes, MANY as u64);
        assert_eq!(report.to_client.end, DirectionEnd::Eof);
        assert!(report.failure.is_none());
    }
}

#[tokio::test]
async fn bytes_arrive_where_a_side_is_no_socket() {
    let (client, ours) = UnixStream::pair().unwrap();
    let (theirs, target) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
    let ours = sockeye::Stream::from_std(ours).unwrap();
    let relay = tokio::spawn(Relay::new().join(ours, RelayEnd::io(theirs)));
    let (one, other) = (talk(client, 1), talk(target, 2));
    relay.await.unwrap().unwrap();
    assert_eq!(one.join().unwrap(), (MANY, true));
    assert_eq!(other.join().unwrap(), (MANY, true));
}
