//! [`DatagramRelayState`]: what the receiving side and the answers share.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::loss::{DatagramSource, Loss, LossLog};
use super::options::DatagramRelayOptions;
use super::report::{DatagramCounters, DatagramRelayReport};
use super::room::AnswerRoom;
use super::sender::RelaySender;
use crate::packet::Datagram;
use crate::relay::ObserverHandle;

thread_local! {
    /// One buffer for each thread, borrowed while an answer is received and sent on.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug)]
pub(super) struct DatagramRelayState {
    pub(super) options: DatagramRelayOptions,
    /// The listening socket, from which the answers are sent: a client that is connected to its path
    /// takes them from no other.
    pub(super) listening: Datagram,
    pub(super) room: AnswerRoom,
    pub(super) to_target: DatagramDirection,
    pub(super) to_client: DatagramDirection,
    pub(super) senders: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) drained: AtomicU64,
    /// Set once a drain has passed on what was queued: a sender ends when it is quiet.
    pub(super) is_draining: AtomicBool,
    waiting_bytes: AtomicUsize,
    waiting_fds: AtomicUsize,
    ended: Mutex<Vec<Arc<RelaySender>>>,
    /// Notified when a sender has ended.
    pub(super) has_ended: Notify,
    began: Instant,
    /// When the last datagram passed, in milliseconds since then.
    last: AtomicU64,
}

/// The counters and the log of one direction.
#[derive(Debug)]
pub(super) struct DatagramDirection {
    pub(super) counters: DatagramCounters,
    log: LossLog,
    /// What passes in it.
    what: &'static str,
}

impl DatagramDirection {
    fn new(what: &'static str) -> Self {
        Self {
            counters: DatagramCounters::default(),
            log: LossLog::default(),
            what,
        }
    }
}

impl DatagramRelayState {
    pub(super) fn new(options: DatagramRelayOptions, listening: Datagram) -> Arc<Self> {
        Arc::new(Self {
            options,
            room: AnswerRoom::new(listening.as_fd()),
            listening,
            to_target: DatagramDirection::new("a datagram from"),
            to_client: DatagramDirection::new("an answer to"),
            senders: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            drained: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            waiting_bytes: AtomicUsize::new(0),
            waiting_fds: AtomicUsize::new(0),
            ended: Mutex::default(),
            has_ended: Notify::new(),
            began: Instant::now(),
            last: AtomicU64::new(0),
        })
    }

    /// Waits until an observer that is to see everything has room for another datagram.
    pub(super) async fn room_of_observer(&self) {
        if let Some(observer) = &self.options.observer {
            observer.room().await;
        }
    }

    /// Whether [`Self::room_of_observer`] completes at once.
    pub(super) fn observer_has_room(&self) -> bool {
        let observer = self.options.observer.as_ref();
        observer.is_none_or(ObserverHandle::has_room)
    }

    /// Milliseconds since the relay began.
    pub(super) fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Milliseconds since the relay began; a datagram passes.
    pub(super) fn touch(&self) -> u64 {
        let now = self.now();
        self.last.store(now, Ordering::Relaxed);
        now
    }

    /// Completes when no datagram has passed for so long.
    pub(super) async fn idle_for(&self, time: Option<Duration>) {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        loop {
            let passed = self.now().saturating_sub(self.last.load(Ordering::Relaxed));
            let left = time.saturating_sub(Duration::from_millis(passed));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Counts a datagram that was not sent on, and says why in the log.
    pub(super) fn lost(
        &self,
        direction: &DatagramDirection,
        loss: Loss,
        fds: usize,
        source: DatagramSource<'_>,
        detail: &str,
    ) {
        direction.counters.lost(loss.kind(), fds);
        let log = &direction.log;
        log.write(self.now(), direction.what, loss, source, detail);
    }

    /// Enters an answer that waits for room; returns `false` where too much waits already.
    pub(super) fn may_wait(&self, bytes: usize, fds: usize) -> bool {
        let waiting_bytes = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let waiting_fds = self.waiting_fds.fetch_add(fds, Ordering::Relaxed) + fds;
        // Fds of one message may always wait.
        let has_room = waiting_bytes <= self.options.max_buffered
            && (waiting_fds <= self.options.max_waiting_fds || waiting_fds == fds);
        if !has_room {
            self.waits_no_more(bytes, fds);
        }
        has_room
    }

    pub(super) fn waits_no_more(&self, bytes: usize, fds: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.waiting_fds.fetch_sub(fds, Ordering::Relaxed);
    }

    /// Notes that a sender has ended, so that it is forgotten.
    pub(super) fn note_ended(&self, sender: Arc<RelaySender>) {
        self.ended().push(sender);
        self.has_ended.notify_one();
    }

    pub(super) fn take_ended(&self) -> Vec<Arc<RelaySender>> {
        std::mem::take(&mut *self.ended())
    }

    fn ended(&self) -> MutexGuard<'_, Vec<Arc<RelaySender>>> {
        // Nothing under the lock panics half-way.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(&self) -> DatagramRelayReport {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DatagramRelayReport {
            to_target: self.to_target.counters.counts(),
            to_client: self.to_client.counters.counts(),
            senders: now(&self.senders),
            evicted: now(&self.evicted),
            drained: now(&self.drained),
        }
    }
}

/// Calls `act` with a buffer of `size` bytes.
pub(super) fn with_buffer<T>(size: usize, act: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SPARE.take();
    if buffer.len() < size {
        // Zeroed pages that nothing has touched take no memory.
        buffer = vec![0; size];
    }
    let done = act(&mut buffer[..size]);
    SPARE.set(buffer);
    done
}
