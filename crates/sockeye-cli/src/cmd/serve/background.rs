//! [`Background`]: connections that a program's background processes still have open after its end.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use sockeye::inspect::diag;
use sockeye::server::Report;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After this many programs have ended, the kernel is asked which connections are still open.
const ROUND: usize = 4096;
const PAUSE: Duration = Duration::from_millis(50);

/// A connection's socket: its inode, as sock_diag(7) has it.
#[derive(Clone, Copy)]
pub(super) struct Inode {
    number: u32,
    /// Whether it is known to be in the kernel's table while it is open. That of a client in another
    /// network namespace is not.
    is_listed: bool,
}

impl Inode {
    pub(super) fn of(socket: impl AsFd) -> Option<Self> {
        // sock_diag(7) has 32 bits of it, and the kernel gives no more to sockets.
        fstat(&socket).ok().map(|stat| Self {
            number: stat.st_ino as u32,
            is_listed: diag::shows(socket).unwrap_or(false),
        })
    }
}

#[derive(Default)]
pub(super) struct Background(Mutex<EndedPrograms>);

/// Connections whose program has ended, and whether that was in the drain.
#[derive(Default)]
struct EndedPrograms {
    connections: Vec<(Inode, bool)>,
    since_look: usize,
}

impl Background {
    /// The program of a connection has ended.
    pub(super) fn ended(&self, inode: Option<Inode>, in_drain: bool) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended
            .connections
            .extend(inode.map(|inode| (inode, in_drain)));
        ended.since_look += 1;
        if ended.since_look >= ROUND {
            ended.look();
        }
    }

    /// Waits until none is open, at most until the drain is over, and counts the others as aborted.
    /// Their processes are left alone: they are not our children.
    pub(super) async fn wait(
        &self,
        until: Option<Instant>,
        abort: &CancellationToken,
        report: &mut Report,
    ) {
        loop {
            let (served, drained) = self.open();
            let time_is_over = until.is_some_and(|until| Instant::now() >= until);
            if served + drained == 0 || time_is_over || abort.is_cancelled() {
                report.served = report.served.saturating_sub(served);
                report.drained = report.drained.saturating_sub(drained);
                report.aborted += served + drained;
                return tell(served + drained);
            }
            let _ = tokio::time::timeout(PAUSE, abort.cancelled()).await;
        }
    }

    /// How many are open, whose program has ended before the drain and whose during it.
    pub(super) fn open(&self) -> (u64, u64) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.look();
        let count = |in_drain| {
            let connections = ended.connections.iter();
            connections.filter(|(_, found)| *found == in_drain).count() as u64
        };
        (count(false), count(true))
    }
}

fn tell(open: u64) {
    let connections = match open {
        0 => return,
        1 => "1 connection is".to_owned(),
        _ => format!("{open} connections are"),
    };
    warn!(
        "{connections} still open in processes that programs have left running; the processes go on, and that counts as aborted"
    );
}

impl EndedPrograms {
    fn look(&mut self) {
        self.since_look = 0;
        if self.connections.is_empty() {
            return;
        }
        // Without sock_diag(7), as in a sandbox, all have to be found in /proc.
        let table = diag::dump().ok();
        let (has_table, table) = (table.is_some(), table.unwrap_or_default());
        let mut open: HashSet<u32> = table.iter().map(|entry| entry.inode).collect();
        let is_closed = |inode: &Inode, open: &HashSet<u32>| {
            inode.is_listed && has_table && !open.contains(&inode.number)
        };
        self.connections
            .retain(|(inode, _)| !is_closed(inode, &open));
        if self
            .connections
            .iter()
            .all(|(inode, _)| open.contains(&inode.number))
        {
            return;
        }
        // Without /proc too, nothing is known to be closed.
        if let Ok(held) = held() {
            open.extend(held);
            self.connections
                .retain(|(inode, _)| open.contains(&inode.number));
        }
    }
}

/// The inodes of the sockets of all processes that we may inspect. A program's background processes
/// are among them unless they have changed their user.
fn held() -> io::Result<HashSet<u32>> {
    let mut held = HashSet::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let links = descriptors
            .flatten()
            .flat_map(|fd| fs::read_link(fd.path()));
        held.extend(links.filter_map(|link| {
            let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            number.parse::<u32>().ok()
        }));
    }
    Ok(held)
}
