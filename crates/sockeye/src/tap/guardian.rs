//! [`Guardian`]: a process that restores the path when the tap is killed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
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
        let kept = [tap.as_fd(), names.directory.as_fd(), state.file().as_fd()];
        let (pid, pidfd) = fork::fork_survivor(&kept, || {
            // A signal for the session or the terminal of the tap is not for us.
            let _ = setsid();
            let _ = chdir(c"/");
            let _ = set_name(c"sockeye-guard");
            wait_for_end(&tap);
            if files.restore(names).is_ok() {
                state_file::remove(names, state.identity());
            }
        })?;
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
