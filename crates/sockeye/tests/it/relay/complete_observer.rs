//! An observer that sees everything: the relay waits for it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use sockeye::relay::{
    ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece, Observer, ObserverHandle,
    ObserverLimits, Relay, RelayFailure,
};
use tokio::task::spawn_blocking;

use super::joined;
use super::keeper::{Keeper, Slow, ToClient, ToTarget};
use crate::support::PATIENCE;

/// A count that can be waited for.
#[derive(Clone, Default)]
struct Counter(Arc<(Mutex<usize>, Condvar)>);

impl Counter {
    fn add(&self, more: usize) {
        *self.0.0.lock().unwrap() += more;
        self.0.1.notify_all();
    }

    /// The count, once it is at least `least`.
    fn wait_for(&self, least: usize) -> usize {
        let count = self.0.0.lock().unwrap();
        let is_less = |count: &mut usize| *count < least;
        let (count, waited) = self
            .0
            .1
            .wait_timeout_while(count, PATIENCE, is_less)
            .unwrap();
        assert!(!waited.timed_out(), "{count} of {least}");
        *count
    }
}

const SIZE: usize = 4 << 20;
const LIMIT: usize = 256 << 10;
/// The most bytes of one read.
const PIECE: usize = 64 << 10;

/// Looks at each piece until the reader of the relay is far ahead.
struct Behind {
    keeper: Keeper,
    seen: usize,
    most_ahead: usize,
    received: Counter,
}

impl Observer for Behind {
    fn piece(&mut self, piece: ObservedPiece) {
        let least = SIZE.min(self.seen + LIMIT / 2);
        let ahead = self.received.wait_for(least) - self.seen;
        self.most_ahead = self.most_ahead.max(ahead);
        self.seen += piece.bytes.len();
        self.keeper.piece(piece);
    }

    fn end(&mut self, end: ObservedEnd) {
        self.keeper.end(end);
    }

    fn missed(&mut self, gap: ObservedGap) {
        panic!("{gap:?}");
    }
}

#[tokio::test]
async fn a_relay_waits_for_an_observer_that_is_to_see_everything() {
    let received = Counter::default();
    let behind = Behind {
        keeper: Keeper::default(),
        seen: 0,
        most_ahead: 0,
        received: received.clone(),
    };
    let limits = ObserverLimits {
        bytes: LIMIT,
        ..Default::default()
    };
    let (handle, thread) = ObserverHandle::start_complete(behind, limits).unwrap();
    let relay = Relay::new().observe(handle);
    let (mut client, mut target, joined) = joined(&relay);
    drop(relay);
    let sent: Vec<u8> = (0..SIZE).map(|n| (n / 7) as u8).collect();
    let to_send = sent.clone();
    let write = spawn_blocking(move || client.write_all(&to_send).unwrap());
    let read = spawn_blocking(move || {
        let mut buffer = vec![0; PIECE];
        loop {
            match target.read(&mut buffer).unwrap() {
                0 => return,
                count => received.add(count),
            }
        }
    });
    write.await.unwrap();
    read.await.unwrap();
    joined.await.unwrap();
    let behind = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert!(behind.keeper.bytes(ToTarget) == sent);
    assert_eq!(behind.keeper.ends().len(), 2);
    let ahead = behind.most_ahead;
    assert!((LIMIT / 2..=LIMIT + PIECE).contains(&ahead), "{ahead}");
}

/// The queue has room for one piece, which holds up both directions of all connections.
#[tokio::test]
async fn every_piece_is_seen_in_order_through_a_queue_of_one() {
    let limits = ObserverLimits {
        pieces: 1,
        ..Default::default()
    };
    let started = ObserverHandle::start_complete(Keeper::default(), limits);
    let (handle, thread) = started.unwrap();
    let relay = Relay::new().observe(handle.clone());
    let mut connections = Vec::new();
    for number in 0..8_u8 {
        let (mut client, mut target, joined) = joined(&relay);
        let exchange = spawn_blocking(move || {
            for round in 0..50 {
                client.write_all(&[number, round]).unwrap();
                target.read_exact(&mut [0; 2]).unwrap();
                target.write_all(&[round]).unwrap();
                client.read_exact(&mut [0; 1]).unwrap();
            }
        });
        connections.push((exchange, joined));
    }
    drop(relay);
    for (exchange, joined) in connections {
        exchange.await.unwrap();
        joined.await.unwrap();
    }
    assert_eq!(handle.missed(), Default::default());
    drop(handle);
    let keeper = spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(keeper.ends().len(), 16);
    for number in 0..8_u8 {
        let connection = u64::from(number) + 1;
        let of_it = |piece: &&&ObservedPiece| piece.connection == connection;
        let asked = keeper.pieces(ToTarget);
        let asked = asked
            .iter()
            .filter(of_it)
            .flat_map(|piece| &piece.bytes[..]);
        assert!(asked.copied().eq((0..50).flat_map(|round| [number, round])));
        let answered = keeper.pieces(ToClient);
        let answered = answered
            .iter()
            .filter(of_it)
            .flat_map(|piece| &piece.bytes[..]);
        assert!(answered.copied().eq(0..50));
    }
}

/// Panics when it is told to.
struct Doomed(mpsc::Receiver<()>);

impl Observer for Doomed {
    fn piece(&mut self, _: ObservedPiece) {
        let _ = self.0.recv();
        panic!("as the test wants");
    }
}

#[tokio::test]
async fn nothing_waits_for_an_observer_that_has_panicked() {
    let limits = ObserverLimits {
        pieces: 1,
        ..Default::default()
    };
    let (panic, wait) = mpsc::channel();
    let (handle, thread) = ObserverHandle::start_complete(Doomed(wait), limits).unwrap();
    let relay = Relay::new().observe(handle.clone());
    let (mut client, mut target, joined) = joined(&relay);
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    spawn_blocking(move || {
        client.write_all(b"first").unwrap();
        target.read_exact(&mut [0; 5]).unwrap();
        // The relay has no room for it.
        client.write_all(b"again").unwrap();
        drop(panic);
        target.read_exact(&mut [0; 5]).unwrap();
        assert!(thread.join().is_err());
    })
    .await
    .unwrap();
    assert_eq!(joined.await.unwrap().to_target.bytes, 10);
    assert_eq!(handle.missed().bytes, 5);
}

#[tokio::test(start_paused = true)]
async fn no_timeout_runs_while_an_observer_is_waited_for() {
    let limits = ObserverLimits {
        pieces: 1,
        ..Default::default()
    };
    let (go_on, wait) = mpsc::channel();
    let slow = Slow {
        go_on: wait,
        keeper: Keeper::default(),
    };
    let (handle, _thread) = ObserverHandle::start_complete(slow, limits).unwrap();
    let relay = Relay::new()
        .half_close_timeout(Duration::from_secs(60))
        .observe(handle);
    let (mut client, mut target, joined) = joined(&relay);
    let began = tokio::time::Instant::now();
    target.shutdown(Shutdown::Write).unwrap();
    let mut reader = target.try_clone().unwrap();
    let read = spawn_blocking(move || {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        client.write_all(b"first").unwrap();
        reader.read_exact(&mut [0; 5]).unwrap();
        client
    });
    let mut client = read.await.unwrap();
    client.write_all(b"again").unwrap();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    go_on.send(()).unwrap();
    let read = spawn_blocking(move || target.read_exact(&mut [0; 5]).map(|()| target));
    let _target = read.await.unwrap().unwrap();
    drop(go_on);
    // From now on it runs.
    let report = joined.await.unwrap();
    assert_eq!(report.to_target.bytes, 10);
    let is_timeout = matches!(report.failure, Some(RelayFailure::TimedOut(_)));
    assert!(is_timeout, "{:?}", report.failure);
    assert!(began.elapsed() >= Duration::from_secs(1060));
}

/// Keeps what it sees, and hands it over to another one.
struct First {
    keeper: Keeper,
    next: ObserverHandle,
}

impl Observer for First {
    fn begin(&mut self, begin: ObservedBegin) {
        self.next.begin(begin);
    }

    fn piece(&mut self, piece: ObservedPiece) {
        self.keeper.piece(piece.clone());
        self.next.piece(piece);
    }

    fn end(&mut self, end: ObservedEnd) {
        self.keeper.end(end.clone());
        self.next.end(end);
    }
}

#[tokio::test]
async fn an_observer_hands_over_to_a_slower_one_without_waiting() {
    let (go_on, wait) = mpsc::channel();
    let slow = Slow {
        go_on: wait,
        keeper: Keeper::default(),
    };
    let limits = ObserverLimits {
        bytes: LIMIT,
        ..Default::default()
    };
    let (next, slow) = ObserverHandle::start_with(slow, limits).unwrap();
    let first = First {
        keeper: Keeper::default(),
        next,
    };
    let (handle, first) = ObserverHandle::start_complete(first, limits).unwrap();
    let relay = Relay::new().observe(handle);
    let (mut client, mut target, joined) = joined(&relay);
    drop(relay);
    let write = spawn_blocking(move || client.write_all(&vec![7; SIZE]).unwrap());
    let read = spawn_blocking(move || target.read_to_end(&mut Vec::new()).unwrap());
    write.await.unwrap();
    assert_eq!(read.await.unwrap(), SIZE);
    joined.await.unwrap();
    let First { keeper, next } = spawn_blocking(|| first.join().unwrap()).await.unwrap();
    assert_eq!(keeper.bytes(ToTarget).len(), SIZE);
    let missed = next.missed();
    drop((next, go_on));
    let slow = spawn_blocking(|| slow.join().unwrap()).await.unwrap();
    let seen = slow.keeper.bytes(ToTarget).len() as u64;
    assert!(missed.bytes > 0);
    assert_eq!(seen + missed.bytes, SIZE as u64);
    let gaps = slow.keeper.gaps();
    let bytes: u64 = gaps.iter().map(|gap| gap.bytes).sum();
    let pieces: u64 = gaps.iter().map(|gap| gap.pieces).sum();
    assert_eq!((pieces, bytes), (missed.pieces, missed.bytes));
    let times = |keeper: &Keeper| -> Vec<_> {
        let pieces = keeper.pieces(ToTarget);
        pieces
            .iter()
            .map(|piece| (piece.instant, piece.time))
            .collect()
    };
    let (all, some) = (times(&keeper), times(&slow.keeper));
    assert!(some.iter().all(|time| all.contains(time)));
}
