//! Network namespaces: which there are, and the table of each.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat, stat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[cfg(feature = "tokio")]
use super::diag::DiagEntry;
use super::diag::{self, Table};
use super::procfs::{self, Open};
use crate::sys;

/// The inode number of a namespace, which is what identifies it.
pub(super) type Id = u64;

/// The namespace of this thread.
pub(super) fn current() -> Option<Id> {
    id_of(Path::new("/proc/thread-self/ns/net"))
}

/// All other namespaces that a process that we may look at is in, or that `ip netns` has named,
/// each with a file that leads to it.
pub(super) fn others() -> BTreeMap<Id, PathBuf> {
    let pids = procfs::pids().into_iter();
    let of_processes = pids.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
    let named = std::fs::read_dir("/run/netns").into_iter().flatten();
    let named = named.flatten().map(|entry| entry.path());
    let current = current();
    let mut found = BTreeMap::new();
    for path in of_processes.chain(named) {
        if let Some(id) = id_of(&path).filter(|&id| Some(id) != current) {
            found.entry(id).or_insert(path);
        }
    }
    found
}

/// The sockets of all other namespaces that we may enter.
#[cfg(feature = "tokio")]
pub(crate) fn elsewhere() -> impl Iterator<Item = DiagEntry> {
    let tables = others().into_values().filter_map(|path| dump(&path).ok());
    tables.flat_map(|table| table.entries)
}

fn id_of(path: &Path) -> Option<Id> {
    stat(path).ok().map(|stat| stat.st_ino)
}

/// The table of the namespace that `path` leads to.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` there; as [`diag::dump`].
pub(super) fn dump(path: &Path) -> io::Result<Table> {
    dump_in(openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The namespace of a socket that a process has open: no process may be in it any more.
///
/// # Errors
/// `EPERM` without `CAP_SYS_PTRACE` there, or without `CAP_NET_ADMIN` in the namespace; `ESTALE`
/// where the fd is another one by now.
pub(super) fn of_socket(open: &Open) -> io::Result<OwnedFd> {
    let socket = procfs::duplicate(open.process.pid, open.fd, open.inode)?;
    sys::socket::network_namespace(socket.as_fd())
}

/// The table of a namespace. A thread of its own enters it, so that this one stays where it is
/// (setns(2)).
pub(super) fn dump_in(namespace: OwnedFd) -> io::Result<Table> {
    let enter = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        diag::read_table()
    };
    let thread = std::thread::Builder::new().spawn(enter)?;
    thread
        .join()
        .map_err(|_| io::Error::other("the thread that entered a namespace panicked"))?
}
