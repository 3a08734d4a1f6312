//! [`VisibleSockets`]: the sockets that this process can see, and why some may be hidden.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::stat;
use sockeye::inspect::{BoundName, FileState, Snapshot, SnapshotOptions, Socket, SocketState};
use sockeye::{Address, Kind};

use super::hung;

// linux/proc_ns.h: the inode numbers of the first namespaces
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// capabilities(7)
pub(super) const CAP_DAC_OVERRIDE: u32 = 1;
pub(super) const CAP_DAC_READ_SEARCH: u32 = 2;
pub(super) const CAP_SYS_PTRACE: u32 = 19;

/// The sockets in all network namespaces that may be read.
pub(super) struct VisibleSockets {
    pub(super) snapshot: Option<Snapshot>,
    /// Why some sockets may be missing from the snapshot.
    pub(super) hidden_reason: Option<String>,
    /// The network namespace of this process.
    pub(super) namespace: Option<u64>,
}

impl VisibleSockets {
    /// For an address that resolves to `path`. Other socket files are not looked at: their file systems
    /// may hang.
    pub(super) fn take(address: &Address, path: &Path) -> Self {
        let mut visible = Self::of_names();
        let Some(snapshot) = &mut visible.snapshot else {
            return visible;
        };
        let selected = snapshot.select(address);
        let selected: HashSet<u32> = selected.iter().map(|socket| socket.inode).collect();
        let inside = path_in_root(path).map(|(_, path)| path);
        let paths = [Some(path), address.path(), inside.as_deref()];
        snapshot.look_at_files(|socket| {
            let mut paths = paths.iter().flatten();
            paths.any(|path| has_name(socket, path)) || selected.contains(&socket.inode)
        });
        let unanswered = snapshot.unanswered();
        if !unanswered.is_empty() {
            visible
                .hidden_reason
                .get_or_insert(hung::describe(&unanswered));
        }
        visible
    }

    /// How long to wait for further files: shorter if a file system hangs.
    pub(super) fn patience(&self) -> Duration {
        let unanswered = self.snapshot.as_ref().map(Snapshot::unanswered);
        if unanswered.is_none_or(|files| files.is_empty()) {
            hung::DEADLINE
        } else {
            hung::LEAST
        }
    }

    /// Without looking at files.
    pub(super) fn of_names() -> Self {
        let namespace = stat("/proc/self/ns/net").ok().map(|found| found.st_ino);
        let taken = Snapshot::take_without_files(SnapshotOptions::default(), hung::DEADLINE);
        let (snapshot, hidden_reason) = match taken {
            Ok(snapshot) => {
                let hidden_reason = hidden_reason(&snapshot);
                (Some(snapshot), hidden_reason)
            }
            Err(error) => {
                let why = format!("the kernel does not list its sockets ({error})");
                (None, Some(why))
            }
        };
        Self {
            snapshot,
            hidden_reason,
            namespace,
        }
    }

    pub(super) fn sockets(&self) -> &[Socket] {
        self.snapshot.as_ref().map_or(&[], Snapshot::sockets)
    }
}

/// Whether a socket was bound to this path by its name, or to a relative path with the same last part.
pub(super) fn has_name(socket: &Socket, path: &Path) -> bool {
    let Some(BoundName::Path(name)) = &socket.name else {
        return false;
    };
    let name = Path::new(OsStr::from_bytes(name));
    if name.is_relative() {
        name.file_name() == path.file_name()
    } else {
        std::path::absolute(path).is_ok_and(|path| path == name)
    }
}

/// The process through whose root directory a path leads (`/proc/PID/root/run/app.sock`), and the path as
/// that process has it.
pub(super) fn path_in_root(path: &Path) -> Option<(i32, PathBuf)> {
    let mut parts = path.strip_prefix("/proc").ok()?.components();
    let pid = parts.next()?.as_os_str().to_str()?.parse().ok()?;
    (parts.next()?.as_os_str() == "root").then(|| (pid, Path::new("/").join(parts.as_path())))
}

/// Whether a socket was bound to this absolute path.
pub(super) fn is_named(socket: &Socket, path: Option<&Path>) -> bool {
    let path = path.and_then(|path| std::path::absolute(path).ok());
    let wanted = path.as_ref().map(|path| path.as_os_str().as_bytes());
    matches!(&socket.name, Some(BoundName::Path(name)) if wanted == Some(name))
}

/// The relative path that a socket was bound to, if it may be this one; its directory is not known.
pub(super) fn relative_namesake<'a>(socket: &'a Socket, path: &Path) -> Option<&'a Path> {
    let Some(BoundName::Path(name)) = &socket.name else {
        return None;
    };
    let name = Path::new(OsStr::from_bytes(name));
    let is_it = name.is_relative()
        && name.file_name() == path.file_name()
        && state_of(socket).is_none()
        && is_reachable(socket);
    is_it.then_some(name)
}

pub(super) fn state_of(socket: &Socket) -> Option<FileState> {
    socket.file.and_then(|file| file.state)
}

/// Whether clients can reach it: an accepted socket has the name of its listener, but cannot be reached.
pub(super) fn is_reachable(socket: &Socket) -> bool {
    socket.kind == Kind::Datagram
        || matches!(socket.state, SocketState::Listening | SocketState::Bound)
}

/// Why a socket may exist that is not in the snapshot.
pub(super) fn hidden_reason(snapshot: &Snapshot) -> Option<String> {
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

/// Whether this process has the capability that opens all of `/proc`.
pub(super) fn may_look_into_all() -> bool {
    has_capability(CAP_SYS_PTRACE)
}

/// What root could do about it, for everybody else.
pub(super) fn or_root(does: &str) -> String {
    if rustix::process::geteuid().is_root() {
        String::new()
    } else {
        format!("; root {does}")
    }
}

pub(super) fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    match bits {
        Some(bits) => bits >> number & 1 == 1,
        None => rustix::process::geteuid().is_root(),
    }
}
