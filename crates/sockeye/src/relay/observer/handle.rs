//! [`ObserverHandle`]: the queue in front of an observer, which has a bound and never blocks.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle, Result as ThreadResult};

use super::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece, Observer};

/// Most of a queue is pieces; what says where they belong may take as many places again.
const PLACES_FOR_EVENTS: usize = 2;

/// How much may wait for an [`Observer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObserverLimits {
    /// Pieces: 4096 by default.
    pub pieces: usize,
    /// Bytes of all pieces: 16 MiB by default. A larger piece is always missed.
    pub bytes: usize,
    /// File descriptors (fds) of all pieces: 506 by default, those of two full messages. They count for
    /// the limit of open files of the process.
    pub fds: usize,
}

impl Default for ObserverLimits {
    fn default() -> Self {
        Self {
            pieces: 4096,
            bytes: 16 << 20,
            fds: 2 * crate::ancillary::MAX_DESCRIPTORS,
        }
    }
}

/// How much an observer has missed, of all connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedTotal {
    /// Pieces.
    pub pieces: u64,
    /// Bytes of pieces.
    pub bytes: u64,
    /// Fds of pieces.
    pub fds: u64,
    /// Begins and ends. These are missed only where twice as many of all wait as pieces may.
    pub events: u64,
}

/// Hands over to an [`Observer`] what the relays pass on that have this handle
/// ([`Relay::observe`](super::super::Relay::observe)). Cheap to clone.
#[derive(Clone)]
pub struct ObserverHandle(Arc<ObserverQueue>);

/// The thread of an [`Observer`]. It ends once each [`ObserverHandle`], and each relay and connection
/// with one, is dropped, and all that was queued before is delivered; or where the observer panics.
#[derive(Debug)]
#[must_use = "join it, so that nothing is lost when the process ends"]
pub struct ObserverThread<O>(JoinHandle<O>);

struct ObserverQueue {
    sender: Sender<Event>,
    waiting: Arc<QueueRoom>,
    limits: ObserverLimits,
    connections: AtomicU64,
    missed: [AtomicU64; 4],
}

/// What is queued, or with the observer just now.
#[derive(Default)]
struct QueueRoom {
    /// Pieces, and all else.
    places: AtomicUsize,
    bytes: AtomicUsize,
    fds: AtomicUsize,
}

pub(super) enum Event {
    Begin(ObservedBegin),
    Piece(ObservedPiece),
    End(ObservedEnd),
    Missed(ObservedGap),
}

impl ObserverHandle {
    /// Starts the thread of an observer, with the default limits of its queue.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start<O: Observer>(observer: O) -> io::Result<(Self, ObserverThread<O>)> {
        Self::start_with(observer, ObserverLimits::default())
    }

    /// As [`start`](Self::start), with other limits.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start_with<O: Observer>(
        observer: O,
        limits: ObserverLimits,
    ) -> io::Result<(Self, ObserverThread<O>)> {
        let (sender, receiver) = channel();
        let waiting = Arc::new(QueueRoom::default());
        let at_thread = Arc::clone(&waiting);
        let thread = Builder::new().name("observer".to_owned());
        let thread = thread.spawn(move || deliver(observer, &receiver, &at_thread))?;
        let queue = ObserverQueue {
            sender,
            waiting,
            limits,
            connections: AtomicU64::new(0),
            missed: Default::default(),
        };
        Ok((Self(Arc::new(queue)), ObserverThread(thread)))
    }

    /// How much was missed so far.
    #[must_use]
    pub fn missed(&self) -> MissedTotal {
        let [pieces, bytes, fds, events] = self
            .0
            .missed
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        MissedTotal {
            pieces,
            bytes,
            fds,
            events,
        }
    }

    /// The number of a new connection.
    pub(super) fn number(&self) -> u64 {
        self.0.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes room for a piece. Without any it counts as missed, and `false` is returned.
    pub(super) fn reserve(&self, bytes: usize, fds: usize) -> bool {
        let (waiting, limits) = (&*self.0.waiting, &self.0.limits);
        let wanted = [
            (&waiting.places, 1, limits.pieces),
            (&waiting.bytes, bytes, limits.bytes),
            (&waiting.fds, fds, limits.fds),
        ];
        let taken = wanted.map(|(count, more, most)| take(count, more, most));
        let has_room = taken == [true; 3];
        if !has_room {
            for ((count, more, _), is_taken) in wanted.into_iter().zip(taken) {
                give_back(count, if is_taken { more } else { 0 });
            }
            self.count_missed(&[1, bytes as u64, fds as u64, 0]);
        }
        has_room
    }

    /// Hands over a piece, for which there is room, or what says where pieces are missing.
    pub(super) fn send(&self, event: Event) {
        // The thread has panicked.
        if let Err(refused) = self.0.sender.send(event)
            && let Event::Piece(piece) = refused.0
        {
            let (bytes, fds) = (piece.bytes.len() as u64, piece.fds.len() as u64);
            self.count_missed(&[1, bytes, fds, 0]);
        }
    }

    /// Hands over a begin or an end, unless far too many wait.
    pub(super) fn send_unless_full(&self, event: Event) {
        let most = self.0.limits.pieces.saturating_mul(PLACES_FOR_EVENTS);
        if take(&self.0.waiting.places, 1, most.max(PLACES_FOR_EVENTS)) {
            self.send(event);
        } else {
            self.count_missed(&[0, 0, 0, 1]);
        }
    }

    fn count_missed(&self, counts: &[u64; 4]) {
        for (total, count) in self.0.missed.iter().zip(counts) {
            total.fetch_add(*count, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for ObserverHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverHandle").finish_non_exhaustive()
    }
}

impl<O> ObserverThread<O> {
    /// Waits for the end of the thread, and returns the observer; blocks the calling thread.
    ///
    /// # Errors
    /// The payload of the panic where the observer has panicked.
    pub fn join(self) -> ThreadResult<O> {
        self.0.join()
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

fn deliver<O: Observer>(mut observer: O, queue: &Receiver<Event>, waiting: &QueueRoom) -> O {
    for event in queue {
        let (mut places, mut bytes, mut fds) = (1, 0, 0);
        match event {
            Event::Begin(begin) => observer.begin(begin),
            Event::Piece(piece) => {
                (bytes, fds) = (piece.bytes.len(), piece.fds.len());
                observer.piece(piece);
            }
            Event::End(end) => observer.end(end),
            Event::Missed(gap) => {
                places = 0;
                observer.missed(gap);
            }
        }
        give_back(&waiting.places, places);
        give_back(&waiting.bytes, bytes);
        give_back(&waiting.fds, fds);
    }
    observer
}

/// Adds to a count, unless that becomes larger than `most`.
fn take(count: &AtomicUsize, more: usize, most: usize) -> bool {
    let sum = |count: usize| count.checked_add(more).filter(|&sum| sum <= most);
    let taken = count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, sum);
    taken.is_ok()
}

fn give_back(count: &AtomicUsize, less: usize) {
    count.fetch_sub(less, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at each piece when it is told to.
    struct OnDemand(Receiver<()>);

    impl Observer for OnDemand {
        fn piece(&mut self, _: ObservedPiece) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn what_does_not_fit_takes_no_room() {
        let limits = ObserverLimits {
            pieces: 2,
            bytes: 10,
            fds: 3,
        };
        let (_go_on, wait) = channel();
        let started = ObserverHandle::start_with(OnDemand(wait), limits);
        let (handle, _thread) = started.expect("a thread");
        for _ in 0..5 {
            assert!(!handle.reserve(1, 4) && !handle.reserve(11, 1));
        }
        assert!(handle.reserve(4, 2) && !handle.reserve(1, 2));
        assert!(handle.reserve(6, 1) && !handle.reserve(0, 0));
        let missed = MissedTotal {
            pieces: 12,
            bytes: 61,
            fds: 27,
            events: 0,
        };
        assert_eq!(handle.missed(), missed);
    }
}
