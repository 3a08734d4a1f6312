//! Counts the system calls of a server that runs already.

use crate::child::ChildProcess;
use crate::rounds::Harness;
use crate::server::RunningServer;
use anyhow::{Context, ensure};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The system calls of all threads of `server` during `work`.
pub(crate) fn count_calls(
    server: &RunningServer,
    harness: &Harness<'_>,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let directory = tempfile::tempdir_in(harness.directory)?;
    let summary = directory.path().join("summary");
    let (said, writer) = std::io::pipe()?;
    let mut command = Command::new("strace");
    command
        .args(["-c", "-f", "-o"])
        .arg(&summary)
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer);
    let mut strace = ChildProcess::start(&mut command)?;
    drop(command);
    let mut said = BufReader::new(said);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("attached"), "{}", line.trim());
    work()?;
    strace.end(Signal::INT, harness.interrupt)?;
    let text = fs::read_to_string(&summary).context("strace has left no summary")?;
    sum_calls(&text).context("cannot understand what strace has counted")
}

/// The column of calls.
fn sum_calls(summary: &str) -> Option<u64> {
    let lines = summary.lines().skip_while(|line| !line.starts_with('-'));
    let calls = lines.skip(1).take_while(|line| !line.starts_with('-'));
    calls
        .map(|line| line.split_ascii_whitespace().nth(3)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_summed_with_or_without_errors() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.48    0.000300           3       100         7 recvfrom
 38.52    0.000188           1        98           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000488           2       198         7 total
";
        assert_eq!(sum_calls(summary), Some(198));
        assert_eq!(sum_calls(&summary.replace("98 ", "x ")), None);
    }
}
