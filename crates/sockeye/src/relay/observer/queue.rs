//! [`ObserverQueue`]: between relays and the thread of an observer, with a bound.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::{ObserverBatch, ObserverEvent};
use super::limits::{MissedTotal, ObserverLimits};
use super::piece_buffers::PieceBuffers;
use super::{ObservedDirection, ObservedGap, ObservedPiece};

/// How long the thread lets more queue up, so that it is not woken for each piece.
const COALESCING: Duration = Duration::from_millis(1);
/// So many bytes are handed over at once: what was just received is still in the cache of the processor.
const WORTH_WAKING: usize = 256 << 10;
/// Most of a queue is pieces; what says where they belong may take as many places again.
const PLACES_FOR_EVENTS: usize = 2;
/// The thread gives room back after such a part of the limits.
const GIVEN_BACK: usize = 16;

pub(super) struct ObserverQueue {
    state: Mutex<QueueState>,
    /// Notified when the thread is to go on.
    thread: Condvar,
    /// Notified when a full queue has room again, or the thread has ended.
    room: Condvar,
    /// As [`QueueState::is_full`], to be read without the lock.
    is_full: AtomicBool,
    limits: ObserverLimits,
    /// Whether relays wait for room.
    is_complete: bool,
    missed: [AtomicU64; 4],
    /// Of pieces that are not small.
    buffers: PieceBuffers,
}

struct QueueState {
    batch: ObserverBatch,
    /// Events that are queued, or with the observer just now.
    places: usize,
    /// Their bytes.
    bytes: usize,
    is_full: bool,
    thread: ThreadState,
    /// No handle is left.
    is_closed: bool,
    /// The directions that wait for room.
    waiting: HashMap<DirectionKey, Waker>,
}

/// A direction of a connection.
pub(super) type DirectionKey = (u64, ObservedDirection);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadState {
    /// It looks into the queue when it is done.
    Delivering,
    /// Lets more queue up.
    Coalescing,
    /// Sleeps until something is queued.
    Asleep,
    Ended,
}

/// The bytes of a piece.
pub(in crate::relay) enum PieceBytes<'a> {
    /// Are copied where there is room.
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl ObserverQueue {
    pub(super) fn new(limits: ObserverLimits, is_complete: bool) -> Self {
        Self {
            state: Mutex::new(QueueState {
                batch: ObserverBatch::default(),
                places: 0,
                bytes: 0,
                is_full: false,
                thread: ThreadState::Delivering,
                is_closed: false,
                waiting: HashMap::new(),
            }),
            thread: Condvar::new(),
            room: Condvar::new(),
            is_full: AtomicBool::new(false),
            limits,
            is_complete,
            missed: Default::default(),
            buffers: PieceBuffers::default(),
        }
    }

    pub(super) fn missed(&self) -> MissedTotal {
        let counts = self.missed.each_ref();
        let [pieces, bytes, fds, events] = counts.map(|count| count.load(Ordering::Relaxed));
        MissedTotal {
            pieces,
            bytes,
            fds,
            events,
        }
    }

    /// Waits for room, if this queue is complete.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, key: DirectionKey) -> Poll<()> {
        if !self.waits() {
            return Poll::Ready(());
        }
        let mut state = self.lock();
        if !state.is_full {
            return Poll::Ready(());
        }
        state.waiting.insert(key, cx.waker().clone());
        Poll::Pending
    }

    /// Whether it need not be waited for.
    pub(super) fn has_room(&self) -> bool {
        !self.waits()
    }

    /// As [`Self::poll_room`]; blocks the thread.
    pub(super) fn wait_for_room(&self) {
        if self.waits() {
            let state = self.lock();
            let is_full = |state: &mut QueueState| state.is_full;
            let waited = self.room.wait_while(state, is_full);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn waits(&self) -> bool {
        self.is_complete && self.is_full.load(Ordering::Acquire)
    }

    /// Queues a piece, or counts it as missed and returns `false`: without room, unless relays wait for
    /// it, or without a thread.
    pub(super) fn push_piece(
        &self,
        mut piece: ObservedPiece,
        bytes: PieceBytes<'_>,
        before: Option<ObserverEvent>,
        needs_time: bool,
    ) -> bool {
        let (size, fds) = (bytes.len(), piece.fds.len());
        let mut state = self.lock();
        if !self.reserve(&mut state, size) {
            drop(state);
            self.count_missed(&[1, size as u64, fds as u64, 0]);
            return false;
        }
        if let Some(before) = before {
            state.batch.push(before, false);
        }
        match bytes {
            PieceBytes::Borrowed(bytes) if ObserverBatch::is_small(bytes) => {
                state.batch.push_small(piece, bytes);
            }
            PieceBytes::Borrowed(bytes) => {
                // Others need not wait for the copy.
                drop(state);
                piece.bytes = self.buffers.copy(bytes);
                state = self.lock();
                if state.thread == ThreadState::Ended {
                    drop(state);
                    self.count_missed(&[1, size as u64, fds as u64, 0]);
                    return false;
                }
                state.batch.push(ObserverEvent::Piece(piece), needs_time);
            }
            PieceBytes::Owned(bytes) => {
                piece.bytes = bytes;
                state.batch.push(ObserverEvent::Piece(piece), needs_time);
            }
        }
        self.wake_thread(state);
        true
    }

    /// Queues what is no piece; it counts as missed if far too many wait, unless relays wait for room.
    pub(super) fn push_event(&self, event: ObserverEvent, needs_time: bool) {
        let mut state = self.lock();
        let most = self.limits.pieces.saturating_mul(PLACES_FOR_EVENTS);
        let has_room = self.is_complete || state.places < most.max(PLACES_FOR_EVENTS);
        if state.thread == ThreadState::Ended || !has_room {
            drop(state);
            return self.count_missed(&[0, 0, 0, 1]);
        }
        state.places += 1;
        self.note_full(&mut state);
        state.batch.push(event, needs_time);
        self.wake_thread(state);
    }

    /// Queues what says where pieces are missing; it belongs to the piece or the end behind it.
    pub(super) fn push_gap(&self, gap: ObservedGap) {
        let mut state = self.lock();
        if state.thread != ThreadState::Ended {
            state.batch.push(ObserverEvent::Missed(gap), false);
        }
    }

    /// A direction waits no more.
    pub(super) fn forget(&self, key: DirectionKey) {
        if self.is_complete {
            self.lock().waiting.remove(&key);
        }
    }

    fn reserve(&self, state: &mut QueueState, size: usize) -> bool {
        let bytes = state.bytes.saturating_add(size);
        let has_room = state.places < self.limits.pieces && bytes <= self.limits.bytes;
        if state.thread == ThreadState::Ended || !(has_room || self.is_complete) {
            return false;
        }
        state.places += 1;
        state.bytes = bytes;
        self.note_full(state);
        true
    }

    fn note_full(&self, state: &mut QueueState) {
        if state.places >= self.limits.pieces || state.bytes >= self.limits.bytes {
            state.is_full = true;
            self.is_full.store(true, Ordering::Release);
        }
    }

    /// Wakes the thread where it sleeps, or lets more queue up than is worth waiting for.
    fn wake_thread(&self, mut state: MutexGuard<'_, QueueState>) {
        match state.thread {
            ThreadState::Asleep => state.thread = ThreadState::Coalescing,
            ThreadState::Coalescing if self.is_enough(&state) => {
                state.thread = ThreadState::Delivering;
            }
            _ => return,
        }
        drop(state);
        self.thread.notify_one();
    }

    /// Whether the thread is not to wait for more.
    fn is_enough(&self, state: &QueueState) -> bool {
        state.bytes >= WORTH_WAKING.min(self.limits.bytes / 2)
            || state.places >= self.limits.pieces / 2
    }

    /// No more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.thread.notify_one();
    }

    fn count_missed(&self, counts: &[u64; 4]) {
        for (total, count) in self.missed.iter().zip(counts) {
            total.fetch_add(*count, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing under the lock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for events, and exchanges `batch`, which is empty, for all that are queued. Returns `false`
    /// at the end.
    pub(super) fn next_batch(&self, batch: &mut ObserverBatch) -> bool {
        let mut state = self.lock();
        state.thread = if self.is_enough(&state) {
            ThreadState::Delivering
        } else {
            ThreadState::Coalescing
        };
        let mut until = Instant::now() + COALESCING;
        loop {
            let has_some = !state.batch.entries.is_empty();
            match state.thread {
                _ if state.is_closed => {
                    mem::swap(batch, &mut state.batch);
                    return has_some;
                }
                ThreadState::Asleep => {
                    let waited = self.thread.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                    until = Instant::now() + COALESCING;
                }
                ThreadState::Coalescing => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.thread = if has_some {
                            ThreadState::Delivering
                        } else {
                            ThreadState::Asleep
                        };
                        continue;
                    }
                    let waited = self.thread.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                ThreadState::Delivering | ThreadState::Ended => {
                    mem::swap(batch, &mut state.batch);
                    return true;
                }
            }
        }
    }

    /// Whether so much is worth giving back before the end of a batch.
    pub(super) fn is_worth_giving_back(&self, places: usize, bytes: usize) -> bool {
        places > self.limits.pieces / GIVEN_BACK || bytes > self.limits.bytes / GIVEN_BACK
    }

    /// Room for others; who waits is woken where there is some to spare.
    pub(super) fn give_back(&self, places: usize, bytes: usize) {
        let mut state = self.lock();
        state.places -= places;
        state.bytes -= bytes;
        let is_below = |count: usize, limit: usize| count <= limit - limit.div_ceil(4);
        let has_room =
            is_below(state.places, self.limits.pieces) && is_below(state.bytes, self.limits.bytes);
        if state.is_full && has_room {
            self.wake_waiting(state);
        }
    }

    /// The thread has ended: nothing is queued, and nobody waits any more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.thread = ThreadState::Ended;
        let rest = mem::take(&mut state.batch);
        self.wake_waiting(state);
        drop(rest);
    }

    fn wake_waiting(&self, mut state: MutexGuard<'_, QueueState>) {
        state.is_full = false;
        self.is_full.store(false, Ordering::Release);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        self.room.notify_all();
        waiting.into_values().for_each(Waker::wake);
    }
}

impl PieceBytes<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests;
