//! [`Exchanges`]: the requests of one connection of HTTP/1 whose responses are under way.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use http_body::Body;

/// Of [`Exchanges::begun`]: no request since the last look.
const NONE: u64 = u64::MAX;
/// Of [`Exchanges::begun`]: a body of unknown length.
const CHUNKED: u64 = u64::MAX - 1;

/// What the service, the response bodies and the I/O of one connection tell each other.
#[derive(Debug)]
pub(super) struct Exchanges {
    /// Requests whose response, with its body, is not done.
    in_flight: AtomicUsize,
    /// Whether there was a request since the last look.
    is_used: AtomicBool,
    /// The length of the body of the last request.
    begun: AtomicU64,
    /// Whether a response has ended that is not flushed yet.
    is_unflushed: AtomicBool,
    /// Whether certainly no request comes behind the one that is in flight.
    is_last: AtomicBool,
    /// Whether it speaks another protocol from now on.
    is_upgraded: AtomicBool,
    /// Whether hyper holds nothing of it but empty buffers.
    is_parkable: AtomicBool,
}

/// What follows the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBodyLength {
    Known(u64),
    Chunked,
}

impl RequestBodyLength {
    pub(super) fn of(body: &impl Body) -> Self {
        if body.is_end_stream() {
            return Self::Known(0);
        }
        body.size_hint().exact().map_or(Self::Chunked, Self::Known)
    }
}

impl Exchanges {
    pub(super) fn new() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            is_used: AtomicBool::new(false),
            begun: AtomicU64::new(NONE),
            is_unflushed: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            is_upgraded: AtomicBool::new(false),
            is_parkable: AtomicBool::new(false),
        }
    }

    /// A request has come. Call [`Self::end`] once its response is done.
    pub(super) fn begin(&self, length: RequestBodyLength) {
        let begun = match length {
            RequestBodyLength::Known(length) => length.min(CHUNKED - 1),
            RequestBodyLength::Chunked => CHUNKED,
        };
        self.is_used.store(true, Ordering::Relaxed);
        self.begun.store(begun, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn end(&self) {
        self.is_unflushed.store(true, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether no response is under way. An upgraded connection is never idle.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0 && !self.is_upgraded()
    }

    /// Whether a request has begun since the last call.
    pub(super) fn take_used(&self) -> bool {
        let is_used = self.is_used.load(Ordering::Relaxed);
        self.is_used.store(false, Ordering::Relaxed);
        is_used
    }

    /// What follows the head of the request that has begun since the last call.
    pub(super) fn take_begun(&self) -> Option<RequestBodyLength> {
        match self.begun.load(Ordering::Relaxed) {
            NONE => None,
            begun => {
                self.begun.store(NONE, Ordering::Relaxed);
                Some(match begun {
                    CHUNKED => RequestBodyLength::Chunked,
                    length => RequestBodyLength::Known(length),
                })
            }
        }
    }

    /// All that was written has been handed to the kernel.
    pub(super) fn note_flushed(&self) {
        if self.is_unflushed.load(Ordering::Relaxed) {
            self.is_unflushed.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn is_unflushed(&self) -> bool {
        self.is_unflushed.load(Ordering::Relaxed)
    }

    pub(super) fn set_last(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(super) fn set_upgraded(&self) {
        self.is_upgraded.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Ordering::Relaxed)
    }

    pub(super) fn set_parkable(&self, is_parkable: bool) {
        self.is_parkable.store(is_parkable, Ordering::Relaxed);
    }

    pub(super) fn is_parkable(&self) -> bool {
        self.is_parkable.load(Ordering::Relaxed)
    }
}
