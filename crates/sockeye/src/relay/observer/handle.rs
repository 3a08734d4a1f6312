//! [`ObserverHandle`]: hands over to an observer what relays pass on.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle, Result as ThreadResult};

use super::delivery::deliver;
use super::gaps::ForwardedGaps;
use super::limits::{MissedTotal, ObserverLimits};
use super::queue::ObserverQueue;
use super::{ObservedBegin, ObservedDirection, Observer};

/// Hands over to an [`Observer`] what the relays pass on that have this handle
/// ([`Relay::observe`](super::super::Relay::observe),
/// [`DatagramRelay::observe`](super::super::DatagramRelay::observe)). Cheap to clone.
#[derive(Clone)]
pub struct ObserverHandle {
    pub(super) shared: Arc<HandleShared>,
    filter: Option<Arc<ConnectionFilter>>,
}

type ConnectionFilter = dyn Fn(&ObservedBegin) -> bool + Send + Sync;

/// The thread of an [`Observer`]. It ends once each [`ObserverHandle`], and each relay and connection
/// with one, is dropped, and all that was queued before is delivered; or where the observer panics.
#[derive(Debug)]
#[must_use = "join it, so that nothing is lost when the process ends"]
pub struct ObserverThread<O>(JoinHandle<O>);

/// What the clones of a handle share. The drop of the last one ends the thread.
pub(super) struct HandleShared {
    pub(super) queue: Arc<ObserverQueue>,
    pub(super) gaps: ForwardedGaps,
    connections: AtomicU64,
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
        Self::start_thread(observer, ObserverQueue::new(limits, false))
    }

    /// Starts the thread of an observer that misses nothing: while its queue is full, the relay does not
    /// read, and its timeouts do not run. Each direction may then exceed the limits by what it has read
    /// just before.
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
        Self::start_thread(observer, ObserverQueue::new(limits, true))
    }

    fn start_thread<O: Observer>(
        observer: O,
        queue: ObserverQueue,
    ) -> io::Result<(Self, ObserverThread<O>)> {
        let queue = Arc::new(queue);
        let at_thread = Arc::clone(&queue);
        let thread = Builder::new().name("observer".to_owned());
        let thread = thread.spawn(move || deliver(observer, &at_thread))?;
        let shared = HandleShared {
            queue,
            gaps: ForwardedGaps::default(),
            connections: AtomicU64::new(0),
        };
        let handle = Self {
            shared: Arc::new(shared),
            filter: None,
        };
        Ok((handle, ObserverThread(thread)))
    }

    /// Observes only the connections for which `filter` returns `true`. The relay asks once a connection,
    /// on its own thread. A connection that is left out has a number all the same. With several filters
    /// all must return `true`.
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
        self.shared.queue.missed()
    }

    /// Waits until the observer has room for what a relay reads next, if it is to see everything, where
    /// it is not known yet to which connection that belongs.
    pub(in crate::relay) async fn room(&self) {
        let key = (0, ObservedDirection::ToTarget);
        std::future::poll_fn(|cx| self.shared.queue.poll_room(cx, key)).await;
    }

    /// Whether [`Self::room`] completes at once.
    pub(in crate::relay) fn has_room(&self) -> bool {
        self.shared.queue.has_room()
    }

    /// The number of a new connection.
    pub(super) fn number(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether a connection passes the filter.
    pub(super) fn observes(&self, begin: &ObservedBegin) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter(begin))
    }
}

impl fmt::Debug for ObserverHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverHandle").finish_non_exhaustive()
    }
}

impl Drop for HandleShared {
    fn drop(&mut self) {
        self.queue.close();
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
