//! [`Undelivered`]: answers to datagrams that do not arrive.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::stat;
use rustix::io::Errno;
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
        let Some(why) = in_another_namespace(to, peer) else {
            // It did not wait for an answer.
            let sender = Sender::new(peer);
            return debug!("{} has gone before its answer: {error}", sender.describe());
        };
        undelivered.count(1);
        if !undelivered.told_of_namespaces.swap(true, Ordering::Relaxed) {
            let text = format!(
                "could not be answered: {why}; it must bind its socket to a path (--bind PATH); more of this is only counted"
            );
            handler.complain(|| peer, &text);
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

/// Why an abstract name that nobody has here may be somebody's all the same. A path is the same in
/// each network namespace.
fn in_another_namespace(to: &SocketAddrUnix, peer: Option<Peer>) -> Option<&'static str> {
    to.abstract_name()?;
    let namespace = |pid: Pid| {
        let path = format!("/proc/{}/ns/net", pid.as_raw_pid());
        stat(path).map(|stat| (stat.st_dev, stat.st_ino))
    };
    let Some(pid) = peer?.pid() else {
        return Some(
            "its process lies in another pid namespace, and so its abstract address probably in another network namespace",
        );
    };
    match (namespace(pid), namespace(rustix::process::getpid())) {
        (Ok(theirs), Ok(ours)) if theirs != ours => {
            Some("it is in another network namespace, where its abstract address is")
        }
        (Err(Errno::ACCESS | Errno::PERM), _) => Some(
            "its abstract address is not known here, which is in another network namespace if it has not been closed",
        ),
        _ => None,
    }
}
