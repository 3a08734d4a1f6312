//! [`Aside`]: a look at files from a forked copy of this process.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::sys;

/// More than any answer needs: what the other process says is held in memory.
const LONGEST_ANSWER: usize = 1 << 20;

/// A look at files that may never return: a file system whose server hangs (FUSE, NFS) blocks whoever
/// asks for a name, and not even SIGKILL ends a wait for a FUSE server that has read the request. A
/// thread in such a wait keeps its whole process from ending. So a forked copy of this process looks
/// (fork(2)), and is left behind where it blocks.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sockeye::inspect::Aside;
///
/// let mut look = Aside::start(|answers| {
///     let exists = std::path::Path::new("/run").exists();
///     answers.send(&[u8::from(exists)]);
/// })?;
/// let deadline = Instant::now() + Duration::from_secs(3);
/// assert_eq!(look.next(deadline)?, Some(vec![1]));
/// assert_eq!(look.next(deadline)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Aside {
    answers: PipeReader,
    process: OwnedFd,
}

/// Where a look sends what it has found.
#[derive(Debug)]
pub struct Answers(PipeWriter);

impl Answers {
    /// Sends one answer; nothing happens where nobody waits for it any more.
    pub fn send(&mut self, answer: &[u8]) {
        let mut frame = Vec::with_capacity(4 + answer.len());
        let length = u32::try_from(answer.len()).unwrap_or(u32::MAX);
        frame.extend_from_slice(&length.to_ne_bytes());
        frame.extend_from_slice(answer);
        // There is nobody to report it to.
        let _ = self.0.write_all(&frame);
    }
}

impl Aside {
    /// Starts `look` in a copy of this process, which has its memory and working directory and none
    /// of its file descriptors. `look` should look at files and send answers, and no more: a lock
    /// that another thread holds at this moment stays locked in the copy.
    ///
    /// The parent gets SIGCHLD when the copy ends, which is then reaped here.
    ///
    /// # Errors
    /// As pipe(2), fork(2) and pidfd_open(2).
    pub fn start(look: impl FnOnce(&mut Answers)) -> io::Result<Self> {
        let (reader, process) = sys::fork::fork(|writer| look(&mut Answers(writer)))?;
        Ok(Self {
            answers: reader,
            process,
        })
    }

    /// The next answer, or `None` when the look has ended.
    ///
    /// # Errors
    /// `TimedOut` where nothing came by `deadline`; `InvalidData` for an answer of more than a
    /// mebibyte.
    pub fn next(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        if !self.fill(&mut length, deadline)? {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length) as usize;
        if length > LONGEST_ANSWER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length];
        Ok(self.fill(&mut answer, deadline)?.then_some(answer))
    }

    /// Whether all of `buffer` came before the look ended.
    fn fill(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<bool> {
        while !buffer.is_empty() {
            self.wait(deadline)?;
            match self.answers.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn wait(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            });
            let mut readable = [PollFd::new(&self.answers, PollFlags::IN)];
            match poll(&mut readable, Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It has ended, or is not wanted any more.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let ends_soon = {
            let soon = Timespec::try_from(Duration::from_millis(50)).ok();
            poll(
                &mut [PollFd::new(&self.process, PollFlags::IN)],
                soon.as_ref(),
            )
        };
        match (ends_soon, self.process.try_clone()) {
            (Ok(0) | Err(_), Ok(process)) => {
                // SIGKILL waits for the file system as well. If the thread cannot be had, the copy
                // stays a zombie until this process ends.
                let _ = std::thread::Builder::new().spawn(move || reap(&process));
            }
            _ => reap(&self.process),
        }
    }
}

fn reap(process: &OwnedFd) {
    // ECHILD where the process ignores SIGCHLD.
    let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED);
}
