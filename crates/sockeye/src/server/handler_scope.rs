//! [`HandlerScope`]: which handler is being polled on this thread.

use std::cell::Cell;
use std::sync::Arc;

use super::latch::Latch;

thread_local! {
    /// The latch at whose opening the handler that is being polled is dropped.
    static POLLED: Cell<*const Latch> = const { Cell::new(std::ptr::null()) };
}

/// While a handler is being polled.
pub(super) struct HandlerScope(*const Latch);

impl HandlerScope {
    pub(super) fn enter(dropped: &Arc<Latch>) -> Self {
        Self(POLLED.replace(Arc::as_ptr(dropped)))
    }
}

impl Drop for HandlerScope {
    fn drop(&mut self) {
        POLLED.set(self.0);
    }
}

/// Whether this is called while a handler is polled that is dropped when that latch opens: not in
/// another task, to which it has given its connection.
pub(super) fn is_within(dropped: &Arc<Latch>) -> bool {
    std::ptr::eq(POLLED.get(), Arc::as_ptr(dropped))
}
