//! [`Sight`]: the sockets that exist, and how far that can be relied on.

use rustix::fs::stat;
use sockeye::inspect::{Options, Snapshot, Socket};

use super::user::{may_look_into_all, or_root};

// linux/proc_ns.h: the inode numbers of the first namespaces
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What could be seen.
pub(super) struct Sight {
    pub(super) snapshot: Option<Snapshot>,
    /// Why a socket may exist that is not in the snapshot.
    pub(super) blind: Option<String>,
    /// The network namespace of this process.
    pub(super) namespace: Option<u64>,
}

impl Sight {
    pub(super) fn take() -> Self {
        let namespace = stat("/proc/self/ns/net").ok().map(|found| found.st_ino);
        let (snapshot, blind) = match Snapshot::take(Options::default()) {
            Ok(snapshot) => {
                let blind = blind(&snapshot);
                (Some(snapshot), blind)
            }
            Err(error) => {
                let why = format!("the kernel does not list its sockets ({error})");
                (None, Some(why))
            }
        };
        Self {
            snapshot,
            blind,
            namespace,
        }
    }

    pub(super) fn sockets(&self) -> &[Socket] {
        self.snapshot.as_ref().map_or(&[], Snapshot::sockets)
    }
}

/// Why a socket may exist that is not in the snapshot.
pub(in crate::cmd) fn blind(snapshot: &Snapshot) -> Option<String> {
    let hidden = snapshot.hidden();
    if hidden.namespaces > 0 {
        let count = hidden.namespaces;
        Some(format!(
            "network namespaces that may not be entered: {count}"
        ))
    } else if hidden.tables > 0 {
        let count = hidden.tables;
        Some(format!("tables of sockets that could not be read: {count}"))
    } else if hidden.sockets > 0 {
        let count = hidden.sockets;
        Some(format!(
            "sockets of network namespaces that may not be entered: {count}"
        ))
    } else if stat("/proc/self").is_err() {
        Some("/proc is not mounted, so no process can be seen".to_owned())
    } else if !is_first("pid", FIRST_PID_NAMESPACE) {
        Some("this is a container, and processes outside of it cannot be seen".to_owned())
    } else if !may_look_into_all() || !is_first("user", FIRST_USER_NAMESPACE) {
        // Each may be in a network namespace that nobody else is in. They may even be missing
        // from /proc (hidepid), so the count is of no use. Root may be denied a single one
        // (pid 1 in a sandbox), which is no reason to doubt.
        let or_count = match hidden.processes {
            0 => ", or even counted",
            _ => "",
        };
        Some(format!(
            "processes of other users may not be looked into{or_count}{}",
            or_root("would see them")
        ))
    } else {
        None
    }
}

fn is_first(namespace: &str, inode: u64) -> bool {
    stat(format!("/proc/self/ns/{namespace}")).is_ok_and(|found| found.st_ino == inode)
}
