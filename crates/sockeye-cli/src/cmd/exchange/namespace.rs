//! Whether a datagram server can answer at an abstract name.

use std::os::fd::AsFd;

use rustix::fs::fstat;
use sockeye::Address;
use sockeye::inspect::diag;

/// Why the server that `socket` is connected to cannot answer, if that is certain: abstract names are
/// per network namespace. sock_diag(7) gives the inode number of the peer in any namespace, but lists
/// the sockets of ours only.
pub(super) fn out_of_reach(socket: impl AsFd, local: Option<&Address>) -> Option<&'static str> {
    if local.is_some_and(|local| local.path().is_some()) {
        return None;
    }
    let own = fstat(socket).ok()?.st_ino as u32;
    let table = diag::dump().ok()?;
    let peer = table.iter().find(|entry| entry.inode == own)?.peer?;
    let is_here = peer == 0 || table.iter().any(|entry| entry.inode == peer);
    (!is_here).then_some(
        "the server lives in another network namespace, and cannot answer at an abstract name; be answered at a path with --bind PATH",
    )
}
