//! [`Sight`]: the sockets that exist, and how far that can be relied on.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::stat;
use sockeye::Address;
use sockeye::inspect::{BoundName, Options, Snapshot, Socket};

use super::user::{may_look_into_all, or_root};
use crate::cmd::hung;

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
    /// What concerns an address, which leads to `path`: other files are not looked at, as their file systems may hang.
    pub(super) fn take(address: &Address, path: &Path) -> Self {
        let mut sight = Self::of_names();
        let Some(snapshot) = &mut sight.snapshot else {
            return sight;
        };
        let selected = snapshot.select(address);
        let selected: HashSet<u32> = selected.iter().map(|socket| socket.inode).collect();
        let paths = [Some(path), address.path()];
        snapshot.look_at_files(|socket| {
            let mut paths = paths.iter().flatten();
            paths.any(|path| has_name(socket, path)) || selected.contains(&socket.inode)
        });
        let unanswered = snapshot.unanswered();
        if !unanswered.is_empty() {
            sight.blind.get_or_insert(hung::words(&unanswered));
        }
        sight
    }

    /// How long mounts that hang may still be waited for.
    pub(super) fn patience(&self) -> Duration {
        let unanswered = self.snapshot.as_ref().map(Snapshot::unanswered);
        match unanswered.is_none_or(|files| files.is_empty()) {
            true => hung::DEADLINE,
            false => hung::LEAST,
        }
    }

    /// Without a look at any file.
    pub(super) fn of_names() -> Self {
        let namespace = stat("/proc/self/ns/net").ok().map(|found| found.st_ino);
        let taken = Snapshot::take_without_files(Options::default(), hung::DEADLINE);
        let (snapshot, blind) = match taken {
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

/// Whether a socket was bound to a path by its name alone, or to a relative one that ends like it.
pub(in crate::cmd) fn has_name(socket: &Socket, path: &Path) -> bool {
    let Some(BoundName::Path(name)) = &socket.name else {
        return false;
    };
    let name = Path::new(OsStr::from_bytes(name));
    match name.is_relative() {
        true => name.file_name() == path.file_name(),
        false => std::path::absolute(path).is_ok_and(|path| path == name),
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
