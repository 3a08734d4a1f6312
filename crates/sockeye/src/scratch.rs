//! One read buffer for each thread, borrowed during a read, so that idle connections hold none.

use std::cell::Cell;

use bytes::BytesMut;

/// The most bytes of one read.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// An empty buffer with room for `size` bytes, [`SIZE`] at most.
pub(crate) fn take(size: usize) -> BytesMut {
    let mut buffer = SPARE.take();
    buffer.reserve(size.min(SIZE));
    buffer
}

/// Gives a buffer back. What is still in it is discarded.
pub(crate) fn put_back(mut buffer: BytesMut) {
    buffer.clear();
    SPARE.set(buffer);
}
