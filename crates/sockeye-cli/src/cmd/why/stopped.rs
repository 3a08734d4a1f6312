//! Servers that are stopped (SIGSTOP, a debugger, a frozen cgroup), so that nobody answers.

use sockeye::Kind;
use sockeye::inspect::{Holder, Socket};

use super::listener::brief;
use super::report::{Check, Status, Verdict, WhyReport};
use crate::exit::Exit;
use crate::lookup::stopped::Standstill;

/// The cause where a connect would succeed and nobody would answer.
pub(super) const STOPPED: &str = "stopped";

/// Reports processes that have the socket open and are stopped. If all are, nobody answers.
pub(super) fn look_at(socket: &Socket, report: &mut WhyReport) {
    let mut holders: Vec<&Holder> = socket.holders.iter().flatten().collect();
    holders.dedup_by_key(|holder| holder.process.pid);
    // systemd keeps sockets that it has passed on open; the service accepts.
    let is_activator = |holder: &&Holder| holder.process.command.as_deref() == Some(b"systemd");
    if !holders.iter().all(is_activator) {
        holders.retain(|holder| !is_activator(holder));
    }
    let stopped: Vec<(&Holder, Standstill)> = holders
        .iter()
        .filter_map(|holder| Some((*holder, Standstill::find(holder.process.pid)?)))
        .collect();
    let Some((first, how)) = stopped.first() else {
        return;
    };
    for (holder, how) in &stopped {
        let text = format!("{} is {}", brief(holder), how.describe());
        let status = if stopped.len() == holders.len() {
            Status::No
        } else {
            Status::Note
        };
        report.step(Check::Process, status, text);
    }
    if stopped.len() < holders.len() {
        return;
    }
    let waits = match socket.kind {
        Kind::Datagram => "datagrams are queued while there is room, and then senders wait",
        _ => "a connect succeeds while the backlog has room, and then waits",
    };
    let who = match stopped.len() {
        1 => format!("{} is {}", brief(first), how.describe()),
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
        format!("nobody answers: {who}; {waits}"),
        advice.join("; "),
    ));
}
