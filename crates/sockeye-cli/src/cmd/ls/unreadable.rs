//! Processes whose `/proc/PID/fd` may not be read.

use std::fs;
use std::io::{self, ErrorKind};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::output::socket::command;

/// If there are more than this, only their number is shown.
const FEW: usize = 3;

/// Whether there is no such process in this pid namespace.
pub(super) fn is_gone(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// `process 4242 (postgres)`
pub(super) fn process(pid: i32) -> String {
    match fs::read(format!("/proc/{pid}/comm")) {
        Ok(name) => {
            let name = name.strip_suffix(b"\n").unwrap_or(&name);
            format!("process {pid} ({})", command(Some(name)))
        }
        Err(_) => format!("process {pid}"),
    }
}

pub(super) fn denied(pid: i32) -> String {
    format!("{}: permission denied", process(pid))
}

/// The processes that may not be read, if they are few enough to be named.
pub(super) fn named_unreadable(count: usize) -> Option<String> {
    if !(1..=FEW).contains(&count) {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let closed: Vec<String> = pids
        .filter(|&pid| is_unreadable(pid))
        .take(count + 1)
        .map(denied)
        .collect();
    (closed.len() == count).then(|| closed.join(", "))
}

/// Whether the fds of a process may not be read; some may be listed, but not looked at.
pub(super) fn is_unreadable(pid: i32) -> bool {
    let denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(mut fds) => fds.next().is_some_and(|fd| {
            let link = fd.and_then(|fd| fs::read_link(fd.path()));
            link.is_err_and(|error| denied(&error))
        }),
        Err(error) => denied(&error),
    }
}
