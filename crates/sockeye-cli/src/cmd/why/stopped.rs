//! [`Stopped`]: a process that has the listening socket and does not run.

use std::fs;

use sockeye::Kind;
use sockeye::address::escaped;
use sockeye::inspect::{Holder, Socket};

use super::listener::brief;
use super::report::{Check, Report, Status, Verdict};
use crate::exit::Exit;

/// The cause where a connect would succeed and nobody would answer.
pub(super) const STOPPED: &str = "stopped";

/// Why a process does not run.
#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    /// By a signal (state T).
    Signal,
    /// By a debugger (state t), with its pid.
    Tracer(i32),
    /// With its cgroup, as a paused container is.
    Frozen(String),
}

/// Reports on processes that have the socket and are stopped. If all are, nobody answers.
pub(super) fn look_at(socket: &Socket, report: &mut Report) {
    let mut holders: Vec<&Holder> = socket.holders.iter().flatten().collect();
    holders.dedup_by_key(|holder| holder.process.pid);
    // systemd keeps the sockets that it has passed on, and leaves accepting to the service.
    let is_activator = |holder: &&Holder| holder.process.command.as_deref() == Some(b"systemd");
    if !holders.iter().all(is_activator) {
        holders.retain(|holder| !is_activator(holder));
    }
    let stopped: Vec<(&Holder, Stopped)> = holders
        .iter()
        .filter_map(|holder| Some((*holder, Stopped::find(holder.process.pid)?)))
        .collect();
    let Some((first, how)) = stopped.first() else {
        return;
    };
    for (holder, how) in &stopped {
        let text = format!("{} is {}", brief(holder), how.in_words());
        let status = match stopped.len() == holders.len() {
            true => Status::No,
            false => Status::Note,
        };
        report.step(Check::Process, status, text);
    }
    if stopped.len() < holders.len() {
        return;
    }
    let waits = match socket.kind {
        Kind::Datagram => "datagrams are queued while there is room",
        _ => "a connect succeeds while the backlog has room",
    };
    let who = match stopped.len() {
        1 => format!("{} is {}", brief(first), how.in_words()),
        count => format!("all {count} processes that have the socket are stopped"),
    };
    let mut advice: Vec<String> = stopped
        .iter()
        .map(|(holder, how)| how.advice(holder.process.pid))
        .collect();
    advice.dedup();
    report.conclude(Verdict::new(
        Exit::TimedOut,
        STOPPED,
        format!("nobody answers: {who}; {waits}, and then waits"),
        advice.join("; "),
    ));
}

impl Stopped {
    fn find(pid: i32) -> Option<Self> {
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

    fn in_words(&self) -> String {
        match self {
            Self::Signal => "stopped (state T)".to_owned(),
            Self::Tracer(0) => "stopped by a debugger (state t)".to_owned(),
            Self::Tracer(tracer) => format!("stopped by a debugger (state t), pid {tracer}"),
            Self::Frozen(cgroup) => {
                format!("frozen with its cgroup {}", escaped(cgroup))
            }
        }
    }

    fn advice(&self, pid: i32) -> String {
        match self {
            Self::Signal => format!("kill -CONT {pid}"),
            Self::Tracer(_) => format!("let the debugger continue or detach from pid {pid}"),
            Self::Frozen(cgroup) => format!(
                "unpause the container, or echo 0 > /sys/fs/cgroup{}/cgroup.freeze",
                escaped(cgroup)
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
