//! [`HandlerPanic`]: the panic of a handler, for the test that runs the server.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The first panic of a handler.
#[derive(Debug, Default)]
pub(super) struct HandlerPanic {
    first: Mutex<Option<Box<dyn Any + Send>>>,
    occurred: Notify,
}

impl HandlerPanic {
    pub(super) fn keep(&self, payload: Box<dyn Any + Send>) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *first {
            // Dropping it might panic again.
            Some(_) => std::mem::forget(payload),
            first => *first = Some(payload),
        }
        self.occurred.notify_one();
    }

    pub(super) fn take(&self) -> Option<Box<dyn Any + Send>> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.take()
    }

    /// Waits for the first panic.
    pub(super) async fn next(&self) -> Box<dyn Any + Send> {
        loop {
            if let Some(payload) = self.take() {
                return payload;
            }
            self.occurred.notified().await;
        }
    }
}
