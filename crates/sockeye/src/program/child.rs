//! [`Child`]: a program that runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that a [`Program`](super::Program) was started in; it leads a process group.
///
/// If it is dropped before it has been waited for, its group is killed.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    reaped: bool,
}

impl Child {
    // The deprecated constructor is unsound for types whose descriptor is not their own; OwnedFd's is.
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

    /// Waits for its end; what it has started itself may go on.
    ///
    /// # Errors
    /// As waitid(2); `ECHILD` where this process ignores SIGCHLD, so that nobody is told how its
    /// children end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.ended().await?;
        self.reap()
    }

    /// Ends it with all of its process group: SIGTERM, and SIGKILL once it has ended or `grace` is
    /// over.
    ///
    /// # Errors
    /// As [`Child::wait`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it to run, or to be ended by another call.
    pub async fn terminate(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        // Until it is reaped, its pid means nobody else, nor does its group's.
        let _ = kill_process_group(self.pid, Signal::TERM);
        let _ = tokio::time::timeout(grace, self.ended()).await;
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.wait().await
    }

    /// A pidfd is readable when its process has ended (pidfd_open(2)).
    async fn ended(&self) -> io::Result<()> {
        self.pidfd.readable().await?.retain_ready();
        Ok(())
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        // Whatever waitid(2) says, there is nothing left to be waited for.
        self.reaped = true;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)?;
        let raw = status.and_then(|status| {
            let exited = status.exit_status().map(|code| (code & 0xff) << 8);
            exited.or(status.terminating_signal())
        });
        raw.map(ExitStatus::from_raw)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl AsFd for Child {
    /// The pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            kill(self.pid, self.pidfd.as_fd());
        }
    }
}

/// Kills the group, and reaps its leader if that has ended already.
fn kill(pid: Pid, pidfd: BorrowedFd<'_>) {
    let _ = kill_process_group(pid, Signal::KILL);
    let now = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let _ = waitid(WaitId::PidFd(pidfd), now);
}
