//! [`Stopped`] and [`Standstill`]: which processes are stopped, and by what.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;

use sockeye::address::{quoted, shell_quoted};

/// Looks at each process once.
#[derive(Debug, Default)]
pub(crate) struct Stopped(RefCell<HashMap<i32, bool>>);

impl Stopped {
    /// Whether a process is stopped until somebody continues it.
    pub(crate) fn has(&self, pid: i32) -> bool {
        let mut known = self.0.borrow_mut();
        *known
            .entry(pid)
            .or_insert_with(|| Standstill::find(pid).is_some())
    }
}

/// What stopped a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standstill {
    /// By a signal (state T).
    Signal,
    /// By a debugger (state t), with its pid.
    Tracer(i32),
    /// With its cgroup, as a paused container is.
    Frozen(String),
}

impl Standstill {
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let mut lines = status.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let tracer = field("TracerPid:").and_then(|pid| pid.parse().ok());
        match field("State:")?.chars().next()? {
            'T' => Some(Self::Signal),
            't' => Some(Self::Tracer(tracer.unwrap_or_default())),
            _ => frozen_cgroup(pid).map(Self::Frozen),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Signal => "stopped (state T)".to_owned(),
            Self::Tracer(0) => "stopped by a debugger (state t)".to_owned(),
            Self::Tracer(tracer) => format!("stopped by a debugger (state t), pid {tracer}"),
            Self::Frozen(cgroup) => {
                format!("frozen with its cgroup {}", quoted(cgroup))
            }
        }
    }

    pub(crate) fn advice(&self, pid: i32) -> String {
        match self {
            Self::Signal => format!("kill -CONT {pid}"),
            Self::Tracer(_) => format!("let the debugger continue or detach from pid {pid}"),
            Self::Frozen(cgroup) => format!(
                "unpause the container, or echo 0 > {}",
                shell_quoted(&format!("/sys/fs/cgroup{cgroup}/cgroup.freeze"))
            ),
        }
    }
}

/// The cgroup of a process if that is frozen, itself or by one above it (cgroups(7), version 2).
fn frozen_cgroup(pid: i32) -> Option<String> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = fs::read_to_string(format!("/sys/fs/cgroup{path}/cgroup.events")).ok()?;
    let is_frozen = events.lines().any(|line| line == "frozen 1");
    is_frozen.then(|| path.to_owned())
}
