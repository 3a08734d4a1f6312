//! [`DisplayProgress`]: what others know of a display that writes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// What a display has written, and whether it failed.
#[derive(Debug, Default)]
pub(super) struct DisplayProgress {
    /// Bytes.
    written: AtomicU64,
    error: Mutex<Option<io::Error>>,
    failed: CancellationToken,
}

impl DisplayProgress {
    pub(super) fn add(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Nothing more is written from now on. The first error stays.
    pub(super) fn fail(&self, error: io::Error) {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.failed.cancel();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
