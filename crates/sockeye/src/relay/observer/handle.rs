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
}

impl Default for ObserverLimits {
    fn default() -> Self {
        Self {
            pieces: 4096,
            bytes: 16 << 20,
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
pub struct ObserverHandle {
    queue: Arc<ObserverQueue>,
    filter: Option<Arc<ConnectionFilter>>,
}

type ConnectionFilter = dyn Fn(&ObservedBegin) -> bool + Send + Sync;

/// The thread of an [`Observer`]. It ends once each [`ObserverHandle`], and each relay and connection
/// with one, is dropped, and all that was queued before is delivered; or where the observer panics.
#[derive(Debug)]
#[must_use = "join it, so that nothing is lost when the process ends"]
pub struct ObserverThread<O>(JoinHandle<O>);

struct ObserverQueue {
    sender: Sender<Event>,
    waiting: Arc<QueueRoom>,
    limits: ObserverLimits,
    is_complete: bool,
    connections: AtomicU64,
    missed: [AtomicU64; 4],
}

/// What is queued, or with the observer just now.
#[derive(Default)]
struct QueueRoom {
    /// Pieces, and all else.
    places: AtomicUsize,
    bytes: AtomicUsize,
}

pub(super) enum Event {
    Begin(ObservedBegin),
    Piece(ObservedPiece),
    End(ObservedEnd),
    Missed(ObservedGap),
}

impl ObserverHandle {
    /// Starts the thread of an observer, with the default limits of its queue. What finds the queue full
    /// is missed.
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
        Self::start_thread(observer, limits, false)
    }

    /// Starts the thread of an observer that misses nothing: while its queue is full, the relay reads
    /// nothing. Each direction may then be over the limits by what it has read just before.
    ///
    /// An observer that never returns stops the traffic. One that panics does not: from then on
    /// everything is missed.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start_complete<O: Observer>(
        observer: O,
        limits: ObserverLimits,
    ) -> io::Result<(Self, ObserverThread<O>)> {
        Self::start_thread(observer, limits, true)
    }

    fn start_thread<O: Observer>(
        observer: O,
        limits: ObserverLimits,
        is_complete: bool,
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
            is_complete,
            connections: AtomicU64::new(0),
            missed: Default::default(),
        };
        let handle = Self {
            queue: Arc::new(queue),
            filter: None,
        };
        Ok((handle, ObserverThread(thread)))
    }

    /// Observes those connections only for which `filter` returns `true`. It is asked once a connection,
    /// on the thread of the relay, and of the handle that this one is made of, only. A connection that
    /// is left out has a number nevertheless.
    #[must_use]
    pub fn only(mut self, filter: impl Fn(&ObservedBegin) -> bool + Send + Sync + 'static) -> Self {
        let before = self.filter.take();
        self.filter = Some(Arc::new(move |begin: &ObservedBegin| {
            before.as_ref().is_none_or(|before| before(begin)) && filter(begin)
        }));
        self
    }

    /// How much was missed so far.
    #[must_use]
    pub fn missed(&self) -> MissedTotal {
        let [pieces, bytes, fds, events] = self
            .queue
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
        self.queue.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether a connection passes the filter.
    pub(super) fn observes(&self, begin: &ObservedBegin) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter(begin))
    }

    /// Makes room for a piece. Without any it counts as missed, and `false` is returned.
    pub(super) fn reserve(&self, bytes: usize, fds: usize) -> bool {
        let (waiting, limits) = (&*self.queue.waiting, &self.queue.limits);
        let wanted = [
            (&waiting.places, 1, limits.pieces),
            (&waiting.bytes, bytes, limits.bytes),
        ];
        let taken = wanted.map(|(count, more, most)| take(count, more, most));
        let has_room = taken == [true; 2] || self.queue.is_complete;
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
        if let Err(refused) = self.queue.sender.send(event)
            && let Event::Piece(piece) = refused.0
        {
            let (bytes, fds) = (piece.bytes.len() as u64, piece.fds.len() as u64);
            self.count_missed(&[1, bytes, fds, 0]);
        }
    }

    /// Hands over a begin or an end, unless far too many wait.
    pub(super) fn send_unless_full(&self, event: Event) {
        let most = self.queue.limits.pieces.saturating_mul(PLACES_FOR_EVENTS);
        if take(&self.queue.waiting.places, 1, most.max(PLACES_FOR_EVENTS)) {
            self.send(event);
        } else {
            self.count_missed(&[0, 0, 0, 1]);
        }
    }

    fn count_missed(&self, counts: &[u64; 4]) {
        for (total, count) in self.queue.missed.iter().zip(counts) {
            total.fetch_add(*count, Ordering::Relaxed);
        }
    }
}

/// Hands over to the observer of this handle what another one has seen, under the same numbers.
impl Observer for ObserverHandle {
    fn begin(&mut self, begin: ObservedBegin) {
        self.send_unless_full(Event::Begin(begin));
    }

    fn piece(&mut self, piece: ObservedPiece) {
        if self.reserve(piece.bytes.len(), piece.fds.len()) {
            self.send(Event::Piece(piece));
        }
    }

    fn end(&mut self, end: ObservedEnd) {
        self.send_unless_full(Event::End(end));
    }

    fn missed(&mut self, gap: ObservedGap) {
        self.send(Event::Missed(gap));
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
        let (mut places, mut bytes) = (1, 0);
        match event {
            Event::Begin(begin) => observer.begin(begin),
            Event::Piece(piece) => {
                bytes = piece.bytes.len();
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
        observer.flush();
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
