//! [`StdoutLines`]: standard output for many tasks, a line at a time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::io::retry_on_intr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, Notify};

use super::reader::reader_gone;
use super::writer::TerminalWriter;

/// What a pipe takes without blocking when poll(2) says that it is writable: one page.
const PIPE_CHUNK: usize = 4096;

/// Standard output. A reader that does not read blocks the tasks that write, and nothing else:
/// neither signals nor the drain timeout.
///
/// Standard output may be shared with other programs, so it cannot be made non-blocking.
pub(crate) struct StdoutLines {
    // The lock keeps a line that is written in pieces together.
    target: Mutex<LineTarget>,
    /// Notified at the first line.
    begun: Notify,
    has_begun: AtomicBool,
    /// How many bytes wait for the lock, and how many may.
    waiting: AtomicUsize,
    limit: usize,
}

/// A line that waits until others are written.
struct WaitingLine<'a> {
    all: &'a AtomicUsize,
    bytes: usize,
}

impl Drop for WaitingLine<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

enum LineTarget {
    /// A regular file, or a device such as /dev/null: a write never blocks for long.
    File(OwnedFd),
    /// A pipe or a socket.
    Pipe(AsyncFd<OwnedFd>),
    Terminal(OwnedFd, TerminalWriter),
}

impl StdoutLines {
    /// `limit` is how many bytes may wait for a reader that does not read.
    // The deprecated constructor is unsound for types whose descriptor is not their own; OwnedFd's
    // is. Its successor is unsafe, and there is no unsafe code in this crate.
    #[allow(deprecated)]
    pub(crate) fn stdout(limit: usize) -> io::Result<Self> {
        let fd = io::stdout().as_fd().try_clone_to_owned()?;
        let target = match AsyncFd::try_with_interest(fd, Interest::WRITABLE) {
            Ok(fd) if rustix::termios::isatty(&fd) => {
                let fd = fd.into_inner();
                let writer = TerminalWriter::start(fd.try_clone()?, 1)?;
                LineTarget::Terminal(fd, writer)
            }
            Ok(fd) => LineTarget::Pipe(fd),
            Err(refused) => match refused.into_parts() {
                // epoll_ctl(2): a file that does not support it
                (fd, error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    LineTarget::File(fd)
                }
                (_, error) => return Err(error),
            },
        };
        Ok(Self {
            target: Mutex::new(target),
            begun: Notify::new(),
            has_begun: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            limit,
        })
    }

    /// Completes when the reader is gone, and not before a line was written: some who start a server
    /// never mean to read.
    pub(crate) async fn reader_gone(&self) -> io::Result<()> {
        let fd = match &*self.target.lock().await {
            LineTarget::File(_) => None,
            LineTarget::Pipe(fd) => Some(fd.get_ref().try_clone()?),
            LineTarget::Terminal(fd, _) => Some(fd.try_clone()?),
        };
        let Some(fd) = fd else {
            return std::future::pending().await;
        };
        self.begun.notified().await;
        reader_gone(fd).await
    }

    /// Writes a line that ends in its newline; `false`, and it is not written, where too many bytes
    /// wait.
    pub(crate) async fn write(&self, line: &[u8]) -> io::Result<bool> {
        let target = match self.target.try_lock() {
            Ok(target) => target,
            Err(_) => match self.enter(line.len()) {
                Some(_waiting) => self.target.lock().await,
                None => return Ok(false),
            },
        };
        let mut rest = line;
        while !rest.is_empty() {
            let written = match &*target {
                LineTarget::File(fd) => rustix::io::write(fd, rest),
                LineTarget::Pipe(fd) => {
                    writable(fd).await?;
                    let chunk = &rest[..rest.len().min(PIPE_CHUNK)];
                    rustix::io::write(fd.get_ref(), chunk)
                }
                LineTarget::Terminal(_, writer) => {
                    writer.write(rest.to_vec()).await?;
                    break;
                }
            };
            match written {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            self.begun.notify_one();
        }
        Ok(true)
    }

    fn enter(&self, bytes: usize) -> Option<WaitingLine<'_>> {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let waiting = WaitingLine {
            all: &self.waiting,
            bytes,
        };
        (before + bytes <= self.limit).then_some(waiting)
    }
}

/// Waits until a write of [`PIPE_CHUNK`] does not block, or fails. The runtime forgets readiness only
/// after EAGAIN, which a blocking fd never gives, so poll(2) is asked.
async fn writable(fd: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = fd.writable().await?;
        let mut state = [PollFd::new(fd.get_ref(), PollFlags::OUT)];
        if retry_on_intr(|| poll(&mut state, Some(&Timespec::default())))? > 0 {
            return Ok(());
        }
        ready.clear_ready();
    }
}
