//! [`Gate`] and [`Signal`]: a cancellation that costs nothing while it has not come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A token, and a flag beside it that is read without a lock.
#[derive(Debug, Default)]
pub(super) struct Gate {
    opened: AtomicBool,
    token: CancellationToken,
}

impl Gate {
    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// Waits for a [`Gate`] inside of a poll function.
///
/// Polling tokio-util's future locks the token, which all connections share, each time. A task's
/// waker hardly ever changes, so it is enough to register it once and to compare afterwards.
pub(super) struct Signal {
    gate: Arc<Gate>,
    future: Pin<Box<WaitForCancellationFutureOwned>>,
    registered: Option<Waker>,
}

impl Signal {
    pub(super) fn new(gate: &Arc<Gate>) -> Self {
        Self {
            gate: Arc::clone(gate),
            future: Box::pin(gate.token.clone().cancelled_owned()),
            registered: None,
        }
    }

    /// Whether the gate is open; if not, the task is woken when it opens.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> bool {
        if self.gate.is_open() {
            return true;
        }
        let waker = cx.waker();
        if self.registered.as_ref().is_some_and(|w| w.will_wake(waker)) {
            return false;
        }
        self.registered = Some(waker.clone());
        self.future.as_mut().poll(cx).is_ready()
    }
}
