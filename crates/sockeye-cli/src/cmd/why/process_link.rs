//! Links of `/proc/PID`, such as `root` and `cwd`: to follow them takes ptrace access
//! (proc_pid_root(5), ptrace(2)).

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::through;
use super::user::User;

/// The process that a link in this directory belongs to.
pub(super) fn process_of(directory: &OwnedFd, name: &OsStr) -> Option<i32> {
    let directory = fs::read_link(through(directory)).ok()?;
    let last = directory.file_name()?.to_str()?;
    match (name.to_str()?, last) {
        ("root" | "cwd" | "exe", pid) => pid.parse().ok(),
        (_, "fd" | "map_files" | "ns") => directory.parent()?.file_name()?.to_str()?.parse().ok(),
        _ => None,
    }
}

/// Whether the kernel lets a user follow such a link (`__ptrace_may_access`): with CAP_SYS_PTRACE, or
/// if all ids are the user's and the process is dumpable and has no capabilities.
pub(super) fn may_follow(user: &User, pid: i32) -> bool {
    if user.traces && user.may_rule(pid) || user.is_process(pid) {
        return true;
    }
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let has_only = |field: &str, id: Option<u32>| {
        let ids = status.lines().find_map(|line| line.strip_prefix(field));
        let mut ids = ids.unwrap_or_default().split_whitespace();
        id.is_some_and(|id| ids.all(|found| found.parse() == Ok(id)))
    };
    // The files of a process that is not dumpable belong to root (proc_pid(5)).
    let owner = fs::metadata(Path::new("/proc").join(pid.to_string()));
    has_only("Uid:", user.uid)
        && has_only("Gid:", user.groups.first().copied())
        && has_only("CapPrm:", Some(0))
        && owner.is_ok_and(|owner| Some(owner.uid()) == user.uid)
}
