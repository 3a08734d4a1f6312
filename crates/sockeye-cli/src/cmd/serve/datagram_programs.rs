//! [`DatagramPrograms`]: a program for each datagram.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::SocketAddrUnix;
use sockeye::Peer;
use sockeye::server::Report;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::datagram_replies::{DatagramReplies, NO_ADDRESS};
use super::handler::Handler;
use super::programs::Programs;

/// How many programs run at a time without --max-connections.
const DEFAULT_PROGRAMS: usize = 64;

/// Runs a program for each datagram, some at a time, and sends what it prints to the sender.
pub(super) struct DatagramPrograms {
    programs: Arc<Programs>,
    replies: Arc<DatagramReplies>,
    handler: Arc<Handler>,
    abort: CancellationToken,
    permits: Arc<Semaphore>,
    running: JoinSet<()>,
    outcomes: Arc<DatagramOutcomes>,
}

/// How many datagrams were served, drained or aborted, of those whose programs have ended.
#[derive(Default)]
struct DatagramOutcomes {
    served: AtomicU64,
    drained: AtomicU64,
    aborted: AtomicU64,
}

impl DatagramPrograms {
    pub(super) fn new(
        programs: &Arc<Programs>,
        most: Option<usize>,
        replies: &Arc<DatagramReplies>,
        handler: &Arc<Handler>,
        abort: &CancellationToken,
    ) -> Self {
        Self {
            programs: Arc::clone(programs),
            replies: Arc::clone(replies),
            handler: Arc::clone(handler),
            abort: abort.clone(),
            permits: Arc::new(Semaphore::new(most.unwrap_or(DEFAULT_PROGRAMS))),
            running: JoinSet::new(),
            outcomes: Arc::default(),
        }
    }

    /// Starts a program when there is a permit; until then other datagrams wait in the socket's queue.
    pub(super) async fn begin(
        &mut self,
        datagram: &[u8],
        from: Option<SocketAddrUnix>,
        peer: Option<Peer>,
    ) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        while self.running.try_join_next().is_some() {}
        let input = match in_memory(datagram) {
            Ok(input) => input,
            Err(error) => {
                self.outcomes.aborted.fetch_add(1, Ordering::Relaxed);
                let text = format!("sent a datagram that is lost: {error}");
                return self.handler.log.complain(|| peer, &text);
            }
        };
        let (programs, replies) = (Arc::clone(&self.programs), Arc::clone(&self.replies));
        let (handler, abort) = (Arc::clone(&self.handler), self.abort.clone());
        let outcomes = Arc::clone(&self.outcomes);
        self.running.spawn(async move {
            let _permit = permit;
            let limit = handler.max_message;
            let reply = programs.reply(&input, from.as_ref(), peer, limit, &abort);
            let reply = reply.await;
            let counter = match &reply {
                None => &outcomes.aborted,
                Some(_) if handler.stop.is_cancelled() => &outcomes.drained,
                Some(_) => &outcomes.served,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            let Some(reply) = reply.filter(|reply| !reply.is_empty()) else {
                return;
            };
            match from {
                Some(to) => replies.send(&reply, to, peer).await,
                None => handler.log.complain(|| peer, NO_ADDRESS),
            }
        });
    }

    /// Adds the outcomes of all that have begun; those that still run count as aborted.
    pub(super) fn add_to(&mut self, report: &mut Report) {
        while self.running.try_join_next().is_some() {}
        report.served += self.outcomes.served.load(Ordering::Relaxed);
        report.drained += self.outcomes.drained.load(Ordering::Relaxed);
        report.aborted += self.outcomes.aborted.load(Ordering::Relaxed) + self.running.len() as u64;
    }

    /// Waits until all have ended.
    pub(super) async fn finish(&mut self) {
        while self.running.join_next().await.is_some() {}
    }

    /// Aborts those that still run, and waits for their end for at most `time`.
    pub(super) async fn abort(&mut self, time: Duration) {
        self.abort.cancel();
        let _ = tokio::time::timeout(time, self.finish()).await;
    }
}

/// A memfd with the datagram, to be read from its beginning.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("datagram", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
