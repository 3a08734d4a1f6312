//! [`ForkedWorker`]: a forked copy of this process, which looks at files that may hang.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::sys;

/// More than any result needs: it is held in memory.
const LONGEST_RESULT: usize = 1 << 20;

/// A forked copy of this process (fork(2)) that looks at files which may hang. A file system whose
/// server hangs (FUSE, NFS) blocks whoever asks for a name, and not even SIGKILL ends a wait for a FUSE
/// server that has read the request. A thread in such a wait keeps its whole process from ending; a copy
/// is left behind.
///
/// ```
/// use std::time::{Duration, Instant};
/// use sockeye::inspect::ForkedWorker;
///
/// let mut worker = ForkedWorker::start(|results| {
///     let exists = std::path::Path::new("/run").exists();
///     results.send(&[u8::from(exists)]);
/// })?;
/// let deadline = Instant::now() + Duration::from_secs(3);
/// assert_eq!(worker.next(deadline)?, Some(vec![1]));
/// assert_eq!(worker.next(deadline)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "fork")]
pub struct ForkedWorker {
    results: PipeReader,
    process: OwnedFd,
}

/// Sends results from a [`ForkedWorker`] to the process that has started it.
#[derive(Debug)]
pub struct ResultSender(PipeWriter);

impl ResultSender {
    /// Sends one result, which is dropped where nobody waits for it any more.
    pub fn send(&mut self, result: &[u8]) {
        let mut frame = Vec::with_capacity(4 + result.len());
        let length = u32::try_from(result.len()).unwrap_or(u32::MAX);
        frame.extend_from_slice(&length.to_ne_bytes());
        frame.extend_from_slice(result);
        // There is nobody to report it to.
        let _ = self.0.write_all(&frame);
    }
}

impl ForkedWorker {
    /// Starts `look` in a copy of this process, which has its memory and working directory and none
    /// of its file descriptors. `look` should look at files and send results, and do no more: a lock
    /// that another thread holds at this moment stays locked in the copy.
    ///
    /// The parent gets SIGCHLD when the copy ends, which is then reaped here.
    ///
    /// # Errors
    /// As pipe(2), fork(2) and pidfd_open(2).
    pub fn start(look: impl FnOnce(&mut ResultSender)) -> io::Result<Self> {
        let (reader, process) = sys::fork::fork(|writer| look(&mut ResultSender(writer)))?;
        Ok(Self {
            results: reader,
            process,
        })
    }

    /// The next result, or `None` when the worker has ended.
    ///
    /// # Errors
    /// `TimedOut` where nothing came by `deadline`; `InvalidData` for a result of more than a
    /// mebibyte.
    pub fn next(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        if !self.fill(&mut length, deadline)? {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length) as usize;
        if length > LONGEST_RESULT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut result = vec![0; length];
        Ok(self.fill(&mut result, deadline)?.then_some(result))
    }

    /// Whether all of `buffer` came before the worker ended.
    fn fill(&mut self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<bool> {
        while !buffer.is_empty() {
            self.wait(deadline)?;
            match self.results.read(buffer) {
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
            let mut readable = [PollFd::new(&self.results, PollFlags::IN)];
            match poll(&mut readable, Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Drop for ForkedWorker {
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
