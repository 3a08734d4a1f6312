//! [`PollableThread`]: a thread whose end can be waited for with poll(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use super::has_hung_up;

pub(super) struct PollableThread<T> {
    thread: JoinHandle<T>,
    /// Hangs up when the thread ends.
    ended: UnixStream,
}

impl<T: Send + 'static> PollableThread<T> {
    pub(super) fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (ended, guard) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().spawn(move || {
            let _guard = guard;
            work()
        })?;
        Ok(Self { thread, ended })
    }

    pub(super) fn has_ended(&self) -> io::Result<bool> {
        has_hung_up(self.ended.as_fd())
    }

    /// Its result. Blocks until it has ended.
    pub(super) fn result(self) -> io::Result<T> {
        self.thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))
    }
}

impl<T> AsFd for PollableThread<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}
