//! [`Undelivered`]: counts and describes replies to datagrams that could not be delivered.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::stat;
use rustix::net::SocketAddrUnix;
use rustix::process::Pid;
use sockeye::Peer;
use sockeye::address::quoted;
use sockeye::ancillary::SendError;
use tracing::debug;

use super::client_log::ClientLog;
use crate::cmd::impassable;
use crate::output::message::MessageSender;

const IN_ANOTHER_NAMESPACE: &str = "could not be answered: it is in another network namespace, where its abstract address is; it must bind its socket to a path (--bind PATH); more of this is only counted";
const BOUND_ELSEWHERE: &str = "could not be answered: it has its socket open, and the path that it has bound does not lead there from here: it is in another mount namespace or root directory, the path is a relative one, or the file was removed; it must bind an absolute path in a directory that both see; more of this is only counted";

#[derive(Default)]
pub(super) struct Undelivered {
    count: AtomicU64,
    /// Whether the log has said that clients are in another network namespace.
    told_of_namespaces: AtomicBool,
    /// Whether the log has said that the paths of clients lead nowhere here.
    told_of_paths: AtomicBool,
}

impl Undelivered {
    pub(super) fn count(&self, replies: u64) {
        self.count.fetch_add(replies, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts a reply that was not taken, and says why.
    pub(super) fn tell(
        &self,
        log: &ClientLog,
        sent: Result<(), SendError>,
        to: &SocketAddrUnix,
        peer: Option<Peer>,
    ) {
        let error = match sent {
            Ok(()) => return,
            Err(SendError::Io(error)) => error,
            Err(error) => error.into(),
        };
        if is_gone(&error) {
            let (told, text) = if is_in_another_namespace(to, peer) {
                (&self.told_of_namespaces, IN_ANOTHER_NAMESPACE)
            } else if is_bound_elsewhere(to, peer) {
                (&self.told_of_paths, BOUND_ELSEWHERE)
            } else {
                // As far as is visible from here the client did not wait for a reply.
                let sender = MessageSender::new(peer);
                return debug!(
                    "no socket has the address of {} for its reply: {error}; it has ended, or is hidden in another namespace",
                    sender.describe()
                );
            };
            self.count(1);
            if !told.swap(true, Ordering::Relaxed) {
                log.complain(|| peer, text);
            }
            return;
        }
        self.count(1);
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => {
                let path = Path::new(OsStr::from_bytes(to.path_bytes().unwrap_or_default()));
                match impassable(path) {
                Some(directory) => format!(
                    "; the directory {} on the way to its file does not let our user pass (x)",
                    quoted(directory)
                ),
                None => "; the file that it is bound to does not let our user write (send --bind makes one that does)".to_owned(),
            }
            }
            _ => String::new(),
        };
        log.complain(|| peer, &format!("could not be answered: {error}{advice}"));
    }
}

/// Whether no socket has the address any more, as far as is visible from here.
fn is_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, NotFound};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | NotFound)
}

/// Whether an abstract name that no socket has here is known to be that of a client in another network
/// namespace. A path is the same in each. Most clients that are gone did not wait for a reply, so
/// one that is not known to be in another namespace is taken for one of them.
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

/// Whether a path that leads nowhere here is the name of an open socket: the kernel's table has the
/// names as they were bound. The table is that of the sender's network namespace, or ours where the
/// sender is hidden.
fn is_bound_elsewhere(to: &SocketAddrUnix, peer: Option<Peer>) -> bool {
    let Some(path) = to.path_bytes() else {
        return false;
    };
    let table = match peer.and_then(|peer| peer.pid()) {
        Some(pid) => format!("/proc/{}/net/unix", pid.as_raw_pid()),
        None => "/proc/net/unix".to_owned(),
    };
    // Where the sender has ended there is no such file.
    std::fs::read(table).is_ok_and(|table| has_datagram_socket(&table, path))
}

/// Whether the table (proc_net_unix(5)) has a datagram socket of this name.
fn has_datagram_socket(table: &[u8], path: &[u8]) -> bool {
    table.split(|&byte| byte == b'\n').any(|line| {
        let Some(rest) = line.strip_suffix(path) else {
            return false;
        };
        let fields = rest.split(|&byte| byte == b' ');
        let fields: Vec<&[u8]> = fields.filter(|field| !field.is_empty()).collect();
        // Number, references, protocol, flags, type, state and inode; the name may have blanks.
        fields.len() == 7 && fields[4] == b"0002" && rest.ends_with(b" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_socket_is_found_by_its_whole_name() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000045595a39: 00000003 00000000 00000000 0001 03 90516332
000000001efb738e: 00000002 00000000 00010000 0001 01 90741276 /tmp/stream
00000000561692a5: 00000002 00000000 00000000 0002 01     7 /tmp/a b
00000000561692a5: 00000002 00000000 00000000 0002 01 90073820 @/tmp/abstract
";
        for (name, is_there) in [
            ("/tmp/a b", true),
            ("b", false),
            ("/tmp/stream", false),
            ("/tmp/abstract", false),
            ("Path", false),
        ] {
            let found = has_datagram_socket(table, name.as_bytes());
            assert_eq!(found, is_there, "{name}");
        }
    }
}
