//! [`ProgramChild`]: a running program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process_group, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// What the kernel needs at most to end a process, unless that is stuck.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// A process of a [`Program`](super::Program). It leads a process group.
///
/// If it is dropped before it has been waited for, its group is killed.
#[derive(Debug)]
pub struct ProgramChild {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    reaped: bool,
}

impl ProgramChild {
    // The deprecated constructor is unsound for types whose fd is not their own; OwnedFd's is.
    #[allow(deprecated)]
    pub(super) fn new(pid: Pid, pidfd: OwnedFd) -> io::Result<Self> {
        match AsyncFd::try_with_interest(pidfd, Interest::READABLE) {
            Ok(pidfd) => Ok(Self {
                pid,
                pidfd,
                reaped: false,
            }),
            Err(error) => {
                let (pidfd, error) = error.into_parts();
                kill(pid, pidfd.as_fd());
                Err(error)
            }
        }
    }

    /// The process, and the group that it leads.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it ends; processes that it has started may go on.
    ///
    /// # Errors
    /// As waitid(2); `ECHILD` where this process ignores SIGCHLD, so that the exit status is lost.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.ended().await?;
        self.reap()
    }

    /// Ends it with all of its process group: SIGTERM, and SIGKILL once it has ended or `grace` is
    /// over. One that has left its group is signalled too; what it has started there is not.
    ///
    /// # Errors
    /// As [`ProgramChild::wait`]. [`io::ErrorKind::TimedOut`] where it has not ended a second after SIGKILL,
    /// as in a system call that cannot be interrupted; [`io::ErrorKind::PermissionDenied`] where
    /// we may not signal it, as with a set-user-ID program.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it to run, or to be ended by another call.
    pub async fn terminate(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        signal(self.pid, self.as_fd(), Signal::TERM);
        let _ = tokio::time::timeout(grace, self.ended()).await;
        signal(self.pid, self.as_fd(), Signal::KILL);
        match tokio::time::timeout(AFTER_KILL, self.ended()).await {
            Ok(ended) => ended?,
            Err(_) => {
                let killed = pidfd_send_signal(self.as_fd(), Signal::KILL);
                let (kind, why) = match killed {
                    Err(Errno::PERM) => (
                        io::ErrorKind::PermissionDenied,
                        "it may not be killed: Operation not permitted",
                    ),
                    _ => (io::ErrorKind::TimedOut, "it does not end after SIGKILL"),
                };
                return Err(io::Error::new(kind, why));
            }
        }
        self.reap()
    }

    /// Waits until it has ended, without reaping it: [`ProgramChild::wait`] still returns the exit
    /// status. Its pidfd is readable then (pidfd_open(2)).
    ///
    /// # Errors
    /// As poll(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn ended(&self) -> io::Result<()> {
        self.pidfd.readable().await?.retain_ready();
        Ok(())
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        // Without waiting: it has ended, but where it is traced its tracer is told first.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), ended);
        // After an error too there is nothing left to be waited for.
        self.reaped = !matches!(status, Ok(None));
        let status = status?;
        let raw = status.and_then(|status| {
            let exited = status.exit_status().map(|code| (code & 0xff) << 8);
            exited.or(status.terminating_signal())
        });
        raw.map(ExitStatus::from_raw)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl AsFd for ProgramChild {
    /// The pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for ProgramChild {
    fn drop(&mut self) {
        if !self.reaped {
            kill(self.pid, self.pidfd.as_fd());
        }
    }
}

/// Signals the group of a process, and that itself where it has left the group.
fn signal(pid: Pid, pidfd: BorrowedFd<'_>, signal: Signal) {
    let sent = sys::process::signal_group(pidfd, signal);
    if matches!(sent, Err(Errno::INVAL | Errno::NOSYS)) && is_unreaped(pidfd) {
        // Until it is reaped, its pid means nobody else, nor does its group's.
        let _ = kill_process_group(pid, signal);
    }
    // Not twice: some programs abort on a second SIGTERM.
    if getpgid(Some(pid)) != Ok(pid) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// Where SIGCHLD is ignored, the kernel reaps.
fn is_unreaped(pidfd: BorrowedFd<'_>) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd), look).is_ok()
}

/// Kills it with its group, and reaps it if it has ended already.
fn kill(pid: Pid, pidfd: BorrowedFd<'_>) {
    signal(pid, pidfd, Signal::KILL);
    let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let _ = waitid(WaitId::PidFd(pidfd), now);
}
