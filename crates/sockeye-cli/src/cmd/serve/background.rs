//! [`Background`]: connections that outlive their program, in processes that it has left running.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use sockeye::inspect::diag;
use sockeye::server::Report;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After so many ends the kernel is asked which connections are still open.
const ROUND: usize = 4096;
const PAUSE: Duration = Duration::from_millis(50);

/// A connection's socket: its inode, as sock_diag(7) has it.
#[derive(Clone, Copy)]
pub(super) struct Inode(u32);

impl Inode {
    pub(super) fn of(socket: impl AsFd) -> Option<Self> {
        // sock_diag(7) has 32 bits of it, and the kernel gives no more to sockets.
        fstat(socket).ok().map(|stat| Self(stat.st_ino as u32))
    }
}

#[derive(Default)]
pub(super) struct Background(Mutex<Ended>);

/// Connections whose program has ended, and whether that was in the drain.
#[derive(Default)]
struct Ended {
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

    /// Waits until none is open, for as long as the drain has, and counts those that are as aborted.
    /// They are left alone: what has them belongs to nobody here any more.
    pub(super) async fn wait(
        &self,
        until: Option<Instant>,
        cut_off: &CancellationToken,
        report: &mut Report,
    ) {
        loop {
            let (served, drained) = self.open();
            let time_is_over = until.is_some_and(|until| Instant::now() >= until);
            if served + drained == 0 || time_is_over || cut_off.is_cancelled() {
                report.served = report.served.saturating_sub(served);
                report.drained = report.drained.saturating_sub(drained);
                report.aborted += served + drained;
                return tell(served + drained);
            }
            let _ = tokio::time::timeout(PAUSE, cut_off.cancelled()).await;
        }
    }

    /// How many are open whose program has ended before the drain, and in it.
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
        "{connections} still open in processes that programs have left running; these go on, and that counts as aborted"
    );
}

impl Ended {
    fn look(&mut self) {
        self.since_look = 0;
        if self.connections.is_empty() {
            return;
        }
        // Where the kernel does not tell, nothing is known to be open.
        let table = diag::dump().unwrap_or_default();
        let open: HashSet<u32> = table.iter().map(|entry| entry.inode).collect();
        self.connections
            .retain(|(inode, _)| open.contains(&inode.0));
    }
}
