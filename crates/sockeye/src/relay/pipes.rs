//! [`PipePool`]: the pipes that splice(2) goes through.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// More directions than this at a time copy.
const MOST: usize = 64;
/// In bytes. Where the user's limit (pipe(7), `pipe-user-pages-soft`) does not allow it, a pipe has what
/// the kernel gives.
const SIZE: usize = 256 << 10;
const NOT_NOW: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

#[derive(Debug, Default)]
pub(super) struct PipePool {
    pipes: Mutex<Pipes>,
}

#[derive(Debug, Default)]
struct Pipes {
    empty: Vec<EmptyPipe>,
    /// With those that are in use.
    count: usize,
}

#[derive(Debug)]
struct EmptyPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// A pipe, and how many bytes are in it. Only an empty one returns to the pool.
#[derive(Debug)]
pub(super) struct PooledPipe {
    /// `Some` until it is dropped.
    pipe: Option<EmptyPipe>,
    filled: usize,
    pool: Arc<PipePool>,
}

impl PipePool {
    /// `None` where all are in use, or none can be made.
    pub(super) fn take(self: &Arc<Self>) -> Option<PooledPipe> {
        let pipe = {
            let mut pipes = self.lock();
            match pipes.empty.pop() {
                Some(pipe) => pipe,
                None if pipes.count < MOST => {
                    let pipe = EmptyPipe::new().ok()?;
                    pipes.count += 1;
                    pipe
                }
                None => return None,
            }
        };
        Some(PooledPipe {
            pipe: Some(pipe),
            filled: 0,
            pool: Arc::clone(self),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pipes> {
        // It is whole at any point where a panic could be.
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EmptyPipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = fcntl_setpipe_size(&writer, SIZE);
        Ok(Self { reader, writer })
    }
}

impl PooledPipe {
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Moves bytes from a socket into the empty pipe, and returns their number; 0 at EOF. `EAGAIN` is
    /// the socket's.
    ///
    /// # Errors
    /// As splice(2).
    pub(super) fn fill(&mut self, source: BorrowedFd<'_>) -> io::Result<usize> {
        debug_assert_eq!(self.filled, 0, "EAGAIN could be that of a full pipe");
        let pipe = self.pipe();
        let count = splice(source, None, pipe.writer.as_fd(), None, SIZE, NOT_NOW)?;
        self.filled = count;
        Ok(count)
    }

    /// Moves bytes from the pipe to a socket, and returns their number.
    ///
    /// # Errors
    /// As splice(2).
    pub(super) fn empty(&mut self, target: BorrowedFd<'_>) -> io::Result<usize> {
        let pipe = self.pipe();
        let reader = pipe.reader.as_fd();
        let count = splice(reader, None, target, None, self.filled, NOT_NOW)?;
        self.filled -= count;
        Ok(count)
    }

    fn pipe(&self) -> &EmptyPipe {
        match &self.pipe {
            Some(pipe) => pipe,
            None => unreachable!("only a drop takes it"),
        }
    }
}

impl Drop for PooledPipe {
    fn drop(&mut self) {
        let pipe = self.pipe.take();
        let mut pipes = self.pool.lock();
        if self.filled == 0 {
            pipes.empty.extend(pipe);
        } else {
            pipes.count -= 1;
        }
    }
}
