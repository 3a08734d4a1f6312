//! What an observer sees.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;

use sockeye::relay::{
    DirectionEnd, FdPolicy, ObservedBegin, ObservedFdKind, ObservedPiece, Observer, ObserverHandle,
    ObserverLimits,
};
use sockeye::{Kind, Peer, SeqPacket, send_msg};
use tokio::task::spawn_blocking;

use super::keeper::{Keeper, Seen, Slow, ToClient, ToTarget};
use super::*;
use crate::support::PATIENCE;

#[tokio::test]
async fn an_observer_sees_each_direction_in_order() {
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let relay = Relay::new().observe(handle);
    let (mut client, mut target, joined) = joined(&relay);
    drop(relay);
    let (question, answer) = (vec![b'q'; 300_000], vec![b'a'; 200_000]);
    let (asked, answered) = (question.clone(), answer.clone());
    let serve = spawn_blocking(move || {
        let mut read = Vec::new();
        target.read_to_end(&mut read).unwrap();
        assert_eq!(read, asked);
        target.write_all(&answered).unwrap();
    });
    let (sent, wanted) = (question.clone(), answer.clone());
    spawn_blocking(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).unwrap();
        assert_eq!(read, wanted);
    })
    .await
    .unwrap();
    serve.await.unwrap();
    joined.await.unwrap();
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    let Seen::Begin(begin) = &keeper.0[0] else {
        panic!("{:?}", keeper.0[0])
    };
    assert_eq!(
        (begin.connection, begin.client),
        (1, Some(Peer::own_process()))
    );
    assert_eq!(keeper.bytes(ToTarget), question);
    assert_eq!(keeper.bytes(ToClient), answer);
    let ends = [(ToTarget, DirectionEnd::Eof), (ToClient, DirectionEnd::Eof)];
    assert_eq!(keeper.ends(), ends);
    // The end of a direction comes when it ends, not when both have.
    let end = keeper
        .0
        .iter()
        .position(|seen| matches!(seen, Seen::End(_)));
    let first_answer = keeper
        .0
        .iter()
        .position(|seen| matches!(seen, Seen::Piece(piece) if piece.direction == ToClient));
    assert!(end < first_answer, "{end:?} {first_answer:?}");
    let pieces = keeper.pieces(ToTarget);
    assert!(pieces.is_sorted_by_key(|piece| piece.instant));
}

/// The reader of a pipe gets EOF although an observer that has seen its writer still looks at it.
#[tokio::test]
async fn an_observer_sees_what_fds_are_and_holds_none_open() {
    let (go_on, wait) = mpsc::channel();
    let (has_seen, seen) = mpsc::channel();
    let stuck = Stuck {
        has_seen,
        wait,
        keeper: Keeper::default(),
    };
    let (handle, thread) = ObserverHandle::start(stuck).unwrap();
    let relay = Relay::new().observe(handle);
    let (client, target, joined) = joined(&relay);
    drop(relay);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let inode = rustix::fs::fstat(&writer).unwrap().st_ino;
    send_msg(&client, b"fds", &[writer.as_fd(), client.as_fd()]).unwrap();
    drop((client, writer));
    spawn_blocking(move || {
        let received = sockeye::recv_msg(&target, &mut [0; 16]).unwrap().unwrap();
        assert_eq!(received.descriptors.len(), 2);
        seen.recv_timeout(PATIENCE).unwrap();
    })
    .await
    .unwrap();
    let eof = spawn_blocking(move || reader.read(&mut [0]).unwrap());
    assert_eq!(
        tokio::time::timeout(PATIENCE, eof).await.unwrap().unwrap(),
        0
    );
    joined.await.unwrap();
    drop(go_on);
    let keeper = spawn_blocking(|| thread.join().unwrap().keeper);
    let keeper = keeper.await.unwrap();
    let pieces = keeper.pieces(ToTarget);
    let [piece] = pieces[..] else {
        panic!("{pieces:?}")
    };
    assert_eq!(&piece.bytes[..], b"fds");
    let fds: Vec<_> = piece.fds.iter().map(ToString::to_string).collect();
    assert_eq!(fds[0], format!("pipe:[{inode}] (write)"));
    assert!(fds[1].starts_with("socket:["), "{fds:?}");
    let kinds: Vec<_> = piece.fds.iter().map(|fd| fd.kind).collect();
    assert_eq!(kinds, [ObservedFdKind::Pipe, ObservedFdKind::Socket]);
}

/// Says that it has seen a piece, and waits until it is told to go on.
struct Stuck {
    has_seen: mpsc::Sender<()>,
    wait: mpsc::Receiver<()>,
    keeper: Keeper,
}

impl Observer for Stuck {
    fn piece(&mut self, piece: ObservedPiece) {
        let _ = self.has_seen.send(());
        let _ = self.wait.recv();
        self.keeper.piece(piece);
    }
}

#[tokio::test]
async fn empty_records_are_pieces() {
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let relay = Relay::new().observe(handle);
    let (client, ours) = SeqPacket::pair().unwrap();
    let (theirs, target) = SeqPacket::pair().unwrap();
    let joined = tokio::spawn(relay.join(ours, theirs));
    drop(relay);
    for record in [&b""[..], b"record", b""] {
        client.send(record).await.unwrap();
        let mut buffer = [0; 16];
        let size = target.recv(&mut buffer).await.unwrap().unwrap();
        assert_eq!(&buffer[..size], record);
    }
    drop((client, target));
    joined.await.unwrap().unwrap();
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    let pieces = keeper.pieces(ToTarget);
    assert!(pieces.iter().all(|piece| piece.is_record));
    let sizes: Vec<_> = pieces.iter().map(|piece| piece.bytes.len()).collect();
    assert_eq!(sizes, [0, 6, 0]);
}

/// Without an observer these bytes would be spliced.
#[tokio::test]
async fn an_observer_sees_large_transfers_without_fds() {
    const SIZE: usize = 4 << 20;
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let relay = Relay::new().fds(FdPolicy::Refuse).observe(handle);
    let (mut client, mut target, relayed) = joined(&relay);
    drop(relay);
    let write = spawn_blocking(move || client.write_all(&vec![7; SIZE]).unwrap());
    let read = spawn_blocking(move || target.read_to_end(&mut Vec::new()).unwrap());
    write.await.unwrap();
    assert_eq!(read.await.unwrap(), SIZE);
    relayed.await.unwrap();
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(keeper.bytes(ToTarget).len(), SIZE);
}

#[tokio::test]
async fn a_slow_observer_misses_pieces_and_stalls_nothing() {
    const SIZE: usize = 4 << 20;
    let (go_on, wait) = mpsc::channel();
    let slow = Slow {
        go_on: wait,
        keeper: Keeper::default(),
    };
    let limits = ObserverLimits {
        bytes: 256 << 10,
        ..Default::default()
    };
    let (handle, thread) = ObserverHandle::start_with(slow, limits).unwrap();
    let relay = Relay::new().observe(handle.clone());
    let (mut client, mut target, joined) = joined(&relay);
    drop(relay);
    let write = spawn_blocking(move || {
        client.write_all(&vec![7; SIZE]).unwrap();
        client
    });
    let read = spawn_blocking(move || {
        let mut read = vec![0; SIZE];
        target.read_exact(&mut read).unwrap();
        target
    });
    let (client, target) = (write.await.unwrap(), read.await.unwrap());
    // All has arrived, and the observer still looks at the first piece.
    let missed = handle.missed();
    assert!(missed.bytes >= (SIZE - limits.bytes) as u64, "{missed:?}");
    drop(go_on);
    let (total, missed) = spawn_blocking(move || {
        let (mut client, mut target) = (client, target);
        let (mut total, mut before) = (SIZE, handle.missed());
        let start = std::time::Instant::now();
        // Once it has caught up, it sees what comes.
        loop {
            assert!(start.elapsed() < PATIENCE);
            client.write_all(b"again").unwrap();
            target.read_exact(&mut [0; 5]).unwrap();
            total += 5;
            match handle.missed() {
                missed if missed == before => return (total, missed),
                missed => before = missed,
            }
        }
    })
    .await
    .unwrap();
    joined.await.unwrap();
    let slow = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    let seen = slow.keeper.bytes(ToTarget).len() as u64;
    let gaps = slow.keeper.gaps();
    let bytes: u64 = gaps.iter().map(|gap| gap.bytes).sum();
    assert!(
        gaps.iter()
            .all(|gap| gap.direction == ToTarget && gap.pieces > 0)
    );
    assert_eq!((seen + bytes, bytes), (total as u64, missed.bytes));
    assert_eq!(slow.keeper.ends().len(), 2);
    // What is missing is told before the end.
    assert!(matches!(
        slow.keeper.0[..],
        [.., Seen::End(_), Seen::End(_)]
    ));
}

struct Panics;

impl Observer for Panics {
    fn piece(&mut self, _: ObservedPiece) {
        panic!("as the test wants");
    }
}

#[tokio::test]
async fn a_panic_of_an_observer_hurts_nobody_else() {
    let (handle, thread) = ObserverHandle::start(Panics).unwrap();
    let relay = Relay::new().observe(handle.clone());
    let (mut client, mut target, joined) = joined(&relay);
    spawn_blocking(move || {
        let mut exchange = || {
            client.write_all(b"hello").unwrap();
            target.read_exact(&mut [0; 5]).unwrap();
        };
        exchange();
        assert!(thread.join().is_err());
        exchange();
    })
    .await
    .unwrap();
    let report = joined.await.unwrap();
    assert_eq!(report.to_target.bytes, 10);
    assert_eq!(handle.missed().bytes, 5);
}

#[tokio::test]
async fn a_relay_that_is_dropped_ends_for_the_observer_too() {
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let relay = Relay::new().observe(handle);
    let (_client, _target, first) = joined(&relay);
    let (_other_client, _other_target, other) = joined(&relay);
    drop(relay);
    first.abort();
    other.abort();
    let _ = (first.await, other.await);
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    let aborted = keeper
        .ends()
        .iter()
        .filter(|(_, end)| *end == DirectionEnd::Aborted)
        .count();
    assert_eq!(aborted, 4);
    let numbers = keeper.begins().into_iter().map(|begin| begin.connection);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn connections_that_the_filter_leaves_out_are_not_observed() {
    let (handle, thread) = ObserverHandle::start(Keeper::default()).unwrap();
    let own_command = Peer::own_process().command();
    assert!(own_command.is_some());
    let is_own = move |begin: &ObservedBegin| begin.command == own_command;
    let handle = handle.only(is_own).only(|begin| begin.connection != 2);
    let relay = Relay::new().observe(handle);
    for number in 1..=3_u8 {
        let (mut client, mut target, joined) = joined(&relay);
        spawn_blocking(move || {
            client.write_all(&[number]).unwrap();
            target.read_exact(&mut [0]).unwrap();
        })
        .await
        .unwrap();
        joined.await.unwrap();
    }
    drop(relay);
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(keeper.bytes(ToTarget), [1, 3]);
    let begins = keeper.begins();
    let numbers: Vec<_> = begins.iter().map(|begin| begin.connection).collect();
    assert_eq!(numbers, [1, 3]);
    assert!(begins.iter().all(|begin| begin.kind == Kind::Stream));
    assert_eq!(keeper.ends().len(), 4);
}

/// Tells how many pieces it has seen, when it is to write out what it holds back.
struct Flushed(mpsc::Sender<usize>, usize);

impl Observer for Flushed {
    fn piece(&mut self, _: ObservedPiece) {
        self.1 += 1;
    }

    fn flush(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[tokio::test]
async fn an_observer_is_told_when_nothing_more_waits() {
    let (flushed, pieces) = mpsc::channel();
    let (handle, _thread) = ObserverHandle::start(Flushed(flushed, 0)).unwrap();
    let relay = Relay::new().observe(handle);
    let (mut client, mut target, joined) = joined(&relay);
    spawn_blocking(move || {
        for count in 1..=3 {
            client.write_all(b"hello").unwrap();
            target.read_exact(&mut [0; 5]).unwrap();
            while pieces.recv_timeout(PATIENCE).unwrap() < count {}
        }
    })
    .await
    .unwrap();
    joined.await.unwrap();
}
