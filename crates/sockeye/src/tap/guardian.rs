//! [`Guardian`]: a process that restores the path when the tap is killed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, chdir, getpid, pidfd_open, pidfd_send_signal, setsid,
    waitpid,
};
use rustix::thread::set_name;

use super::names::TapNames;
use super::restore::TapFiles;
use super::state_file::{self, StateFile};
use crate::sys::fork;

/// Holds the directory, the locked state file and a pidfd of this process, and nothing else. Its end
/// must come before that of the lock.
#[derive(Debug)]
pub(super) struct Guardian {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Guardian {
    /// # Errors
    /// As fork(2) and pidfd_open(2).
    pub(super) fn start(names: &TapNames, files: TapFiles, state: &StateFile) -> io::Result<Self> {
        let tap = pidfd_open(getpid(), PidfdFlags::empty())?;
        let (begun, begins) = pipe_with(PipeFlags::CLOEXEC)?;
        let (directory, lock) = (names.directory.as_fd(), state.file().as_fd());
        let kept = [tap.as_fd(), directory, lock, begins.as_fd()];
        let kept = kept.map(|fd| fd.as_raw_fd());
        let (pid, pidfd) = fork::fork_survivor(kept, || {
            // What ends the session or the terminal of the tap is not to end us.
            let _ = setsid();
            let _ = chdir(c"/");
            let _ = set_name(c"sockeye-guard");
            drop(begins);
            wait_for_end(&tap);
            if files.restore(names).is_ok() {
                state_file::remove(names, state.identity());
            }
        })?;
        // EOF, once it has closed its end.
        let _ = retry_on_intr(|| read(&begun, &mut [0; 1]));
        Ok(Self { pid, pidfd })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        wait_for_end(&self.pidfd);
        // Where somebody has reaped it, or it is reaped by itself, there is nothing to wait for.
        let _ = waitpid(Some(self.pid), WaitOptions::NOHANG);
    }
}

/// A pidfd is readable once its process has ended.
fn wait_for_end(process: &OwnedFd) {
    let mut state = [PollFd::new(process, PollFlags::IN)];
    while poll(&mut state, None) == Err(Errno::INTR) {}
}
