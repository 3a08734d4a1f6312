//! [`Undelivered`]: answers to datagrams that do not arrive.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::stat;
use rustix::net::SocketAddrUnix;
use rustix::process::Pid;
use sockeye::Peer;
use sockeye::ancillary::SendError;
use tracing::debug;

use super::handler::Handler;
use crate::output::message::Sender;

#[derive(Default)]
pub(super) struct Undelivered {
    count: AtomicU64,
    /// Whether it was said that clients live in another network namespace.
    told_of_namespaces: AtomicBool,
}

impl Undelivered {
    pub(super) fn count(&self, answers: u64) {
        self.count.fetch_add(answers, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Says of an answer what became of it, if it was not taken.
pub(super) fn tell(
    handler: &Handler,
    sent: Result<(), SendError>,
    to: &SocketAddrUnix,
    peer: Option<Peer>,
) {
    let undelivered = &handler.undelivered;
    let error = match sent {
        Ok(()) => return,
        Err(SendError::Io(error)) => error,
        Err(error) => error.into(),
    };
    if has_gone(&error) {
        if !is_in_another_namespace(to, peer) {
            // It did not wait for an answer, as far as can be seen from here.
            let sender = Sender::new(peer);
            return debug!(
                "nobody has the address of {} any more for its answer: {error}; it has gone, or is in another network namespace unseen",
                sender.describe()
            );
        }
        undelivered.count(1);
        if !undelivered.told_of_namespaces.swap(true, Ordering::Relaxed) {
            let text = "could not be answered: it is in another network namespace, where its abstract address is; it must bind its socket to a path (--bind PATH); more of this is only counted";
            handler.complain(|| peer, text);
        }
        return;
    }
    undelivered.count(1);
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => {
            "; the file that it is bound to does not let our user write (send --bind makes one that does)"
        }
        _ => "",
    };
    handler.complain(|| peer, &format!("could not be answered: {error}{advice}"));
}

/// Whether nobody has the address any more, as far as can be seen from here.
fn has_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, NotFound};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | NotFound)
}

/// Whether an abstract name that nobody has here is known to be somebody's elsewhere. A path is the
/// same in each network namespace. Most who have gone did not wait for an answer, so who is not known
/// to be elsewhere is taken for one of them.
fn is_in_another_namespace(to: &SocketAddrUnix, peer: Option<Peer>) -> bool {
    let namespace = |pid: Pid| {
        // Each namespace has a file of its own there, and unlike ns/net anybody may look at it.
        let path = format!("/proc/{}/net/unix", pid.as_raw_pid());
        let stat = stat(path).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let sender = peer
        .and_then(|peer| peer.pid())
        .filter(|_| to.abstract_name().is_some());
    let theirs = sender.and_then(namespace);
    theirs.is_some_and(|theirs| {
        namespace(rustix::process::getpid()).is_some_and(|ours| theirs != ours)
    })
}
