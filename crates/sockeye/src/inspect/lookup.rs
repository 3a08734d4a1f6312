//! [`Lookup`]: what a probe looks up, each part at most once, on demand.

use std::cell::{Cell, OnceCell};
#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use super::diag::{self, DiagEntry};
use super::mounts::Mounts;
use super::options::{Hidden, SnapshotOptions};
use super::procfs::{self, Walk};
use super::tables::Tables;

/// The sockets of all network namespaces, who has them open, and the mounts.
pub(crate) struct Lookup {
    here: OnceCell<Result<Vec<DiagEntry>, Errno>>,
    everywhere: OnceCell<Vec<DiagEntry>>,
    walk: OnceCell<Walk>,
    pub(crate) mounts: Mounts,
    /// How much longer files on mounts that hang may be waited for, all of them together.
    patience: Cell<Duration>,
}

impl Default for Lookup {
    fn default() -> Self {
        Self::within(Self::PATIENCE)
    }
}

impl Lookup {
    /// How long files on mounts that hang are waited for, where nothing else is asked for.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

    /// Waits no longer than `patience` for files on mounts that hang.
    pub(crate) fn within(patience: Duration) -> Self {
        Self {
            here: OnceCell::new(),
            everywhere: OnceCell::new(),
            walk: OnceCell::new(),
            mounts: Mounts::default(),
            patience: Cell::new(patience),
        }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience.get()
    }

    /// So long a mount that hangs was waited for.
    pub(crate) fn has_waited(&self, time: Duration) {
        self.patience.set(self.patience().saturating_sub(time));
    }

    /// The sockets of this network namespace.
    ///
    /// # Errors
    /// As [`diag::dump`].
    pub(crate) fn here(&self) -> Result<&[DiagEntry], Errno> {
        let read = || diag::dump().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO));
        let table = self.here.get_or_init(read);
        table.as_deref().map_err(|&errno| errno)
    }

    /// Those of all namespaces that processes and sockets lead to, as far as they may be entered.
    pub(crate) fn everywhere(&self) -> &[DiagEntry] {
        self.everywhere.get_or_init(|| {
            let (options, mut hidden) = (SnapshotOptions::default(), Hidden::default());
            let Ok(mut tables) = Tables::read(options, &mut hidden) else {
                return Vec::new();
            };
            // What it cannot add is hidden from us.
            let _ = tables.complete(self.walk(), options, &mut hidden);
            let entries = tables.entries.into_iter();
            entries.map(|(entry, _)| entry).collect()
        })
    }

    /// Whether a socket that was found has been closed meanwhile.
    pub(crate) fn is_gone(socket: u32) -> bool {
        let now = Self::default();
        let is_it = |entry: &DiagEntry| entry.inode == socket;
        let here = now.here().unwrap_or_default();
        !here.iter().any(is_it) && !now.everywhere().iter().any(is_it)
    }

    fn walk(&self) -> &Walk {
        self.walk.get_or_init(procfs::walk)
    }

    /// The processes that have the socket with this inode number open, of those whose fds
    /// we may read.
    pub(crate) fn pids(&self, socket: u32) -> impl Iterator<Item = i32> {
        let found = self.walk().found.iter();
        found
            .filter(move |open| open.inode == socket)
            .map(|open| open.process.pid)
    }

    /// A duplicate of the socket with this inode number, where a process has it open whose fds we may
    /// take.
    #[cfg(feature = "tokio")]
    pub(crate) fn duplicate(&self, socket: u32) -> Option<OwnedFd> {
        let mut opens = self.walk().found.iter().filter(|open| open.inode == socket);
        opens.find_map(|open| procfs::duplicate(open.process.pid, open.fd, socket).ok())
    }

    /// The one that runs for the longest time, which is not a child that is about to execute.
    pub(crate) fn holder(&self, socket: u32) -> Option<Pid> {
        let pids: Vec<i32> = self.pids(socket).collect();
        let oldest = match *pids {
            [only] => Some(only),
            _ => pids.into_iter().min_by_key(|&pid| (started(pid), pid)),
        };
        oldest.and_then(Pid::from_raw)
    }
}

/// When a process started, in clock ticks since the start of the machine (proc_pid_stat(5), field 22);
/// one that has ended comes last. Pids are reused, so they give no order.
fn started(pid: i32) -> u64 {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, parentheses too.
    let after = stat.rsplit(|&byte| byte == b')').next();
    let fields = after.and_then(|fields| str::from_utf8(fields).ok());
    let started = fields.and_then(|fields| fields.split_whitespace().nth(19));
    let started = started.and_then(|started| started.parse().ok());
    started.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_for_longer_comes_first() {
        let own = started(rustix::process::getpid().as_raw_pid());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(own <= started(child.id() as i32));
        assert!(started(1) <= own);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(started(child.id() as i32), u64::MAX);
    }
}
