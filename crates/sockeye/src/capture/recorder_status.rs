//! [`RecorderStatus`]: what a recorder has written and dropped, while it runs.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a [`Recorder`](super::Recorder) has written and dropped so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RecorderStatus(Arc<SharedStatus>);

#[derive(Debug, Default)]
struct SharedStatus {
    written: SharedCounts,
    dropped: SharedCounts,
    is_failing: AtomicBool,
    is_abandoned: AtomicBool,
    error: OnceLock<io::Error>,
}

#[derive(Debug, Default)]
struct SharedCounts {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

/// Blocks of a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedBlocks {
    /// How many. A packet is a block, and so is the header of the file.
    pub blocks: u64,
    /// Their bytes, with headers.
    pub bytes: u64,
}

impl RecorderStatus {
    /// What is in the file.
    #[must_use]
    pub fn written(&self) -> RecordedBlocks {
        self.0.written.load()
    }

    /// What could not be written. The traffic went on.
    #[must_use]
    pub fn dropped(&self) -> RecordedBlocks {
        self.0.dropped.load()
    }

    /// Whether the last attempt to write has failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Ordering::Relaxed)
    }

    /// Why blocks were dropped at first.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.0.error.get()
    }

    /// From now on blocks are dropped rather than waiting for the reader of a pipe. For the end of a
    /// program whose recording nobody reads any more.
    pub fn abandon(&self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.0.is_abandoned.load(Ordering::Relaxed)
    }

    pub(super) fn add_written(&self, blocks: usize, bytes: usize) {
        self.0.written.add(blocks, bytes);
    }

    pub(super) fn add_dropped(&self, blocks: usize, bytes: usize) {
        self.0.dropped.add(blocks, bytes);
    }

    pub(super) fn set_failing(&self, is_failing: bool) {
        self.0.is_failing.store(is_failing, Ordering::Relaxed);
    }

    pub(super) fn set_error(&self, error: io::Error) {
        // Only the first one is of interest.
        let _ = self.0.error.set(error);
    }
}

impl SharedCounts {
    fn add(&self, blocks: usize, bytes: usize) {
        self.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn load(&self) -> RecordedBlocks {
        RecordedBlocks {
            blocks: self.blocks.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
