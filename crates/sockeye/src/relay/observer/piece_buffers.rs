//! [`PieceBuffers`]: the memory of large pieces, used again.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// So many buffers are kept. A new one would cost more than the copy into it: its pages are not there yet
/// (malloc(3) gives memory back to the system, `M_TRIM_THRESHOLD`).
const MOST_KEPT: usize = 64;
/// A buffer that is larger is not kept.
const LARGEST_KEPT: usize = 64 << 10;

/// Buffers that are in nobody's use.
#[derive(Clone, Default)]
pub(super) struct PieceBuffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Gives its memory back.
struct PieceBuffer {
    bytes: Vec<u8>,
    home: PieceBuffers,
}

impl PieceBuffers {
    pub(super) fn copy(&self, bytes: &[u8]) -> Bytes {
        if bytes.len() > LARGEST_KEPT {
            return Bytes::copy_from_slice(bytes);
        }
        let kept = self.lock().pop();
        let mut buffer = kept.unwrap_or_else(|| Vec::with_capacity(LARGEST_KEPT));
        buffer.clear();
        buffer.extend_from_slice(bytes);
        let home = self.clone();
        Bytes::from_owner(PieceBuffer {
            bytes: buffer,
            home,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for PieceBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PieceBuffer {
    fn drop(&mut self) {
        let mut kept = self.home.lock();
        if kept.len() < MOST_KEPT {
            kept.push(mem::take(&mut self.bytes));
        }
    }
}
