//! How long it takes to list all sockets with their processes.

use crate::child::ChildProcess;
use crate::goal::{Bound, Goal};
use crate::interrupt::Interrupt;
use crate::results_page::ResultsPage;
use crate::results_table::ResultsTable;
use crate::rounds::Harness;
use crate::tools::Tools;
use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How the sockets are spread: processes, and pairs of sockets in each.
const SPREADS: [(usize, usize); 3] = [(1, 4500), (1, 9000), (200, 25)];

const SOCKEYE_LS: &str = "sockeye ls --all";

/// The contestant to compare with, and the highest ratio of the times.
const GOALS: [(&str, f64); 2] = [("ss -xap", 0.6), ("lsof -U", 0.3)];

/// A program that lists sockets.
struct Lister<'a> {
    name: &'static str,
    program: &'a OsStr,
    arguments: &'a [&'a str],
}

pub(crate) fn run(
    harness: &Harness<'_>,
    tools: &Tools,
    report: &mut ResultsPage,
) -> anyhow::Result<()> {
    for (processes, pairs) in SPREADS {
        let _holders: Vec<ChildProcess> = (0..processes)
            .map(|_| hold(pairs, harness.interrupt))
            .collect::<anyhow::Result<_>>()?;
        let title = format!("list all sockets with their processes: {processes} x {pairs} pairs");
        report.add(compare(&title, harness, tools)?);
    }
    Ok(())
}

fn compare(title: &str, harness: &Harness<'_>, tools: &Tools) -> anyhow::Result<ResultsTable> {
    let lister = |name, program, arguments| Lister {
        name,
        program,
        arguments,
    };
    let listers = [
        lister(
            SOCKEYE_LS,
            tools.sockeye.as_os_str(),
            &["ls", "--all", "--json"],
        ),
        lister("ss -xap", OsStr::new("ss"), &["-xap"]),
        lister("lsof -U", OsStr::new("lsof"), &["-U"]),
    ];
    // The first time fills the kernel's caches. Who fails will do so again.
    for lister in &listers {
        let _ = time(lister);
    }
    let results = harness.take_turns(title, &listers, |lister| lister.name, time)?;
    let mut table = ResultsTable::new(title, "ms", 1, &results, |&ms| ms, &[]);
    for (name, time) in GOALS {
        let found = results.ratios(SOCKEYE_LS, name, |&ms| ms);
        table = table.goal(Goal::new(
            format!("time to {name}"),
            found,
            Bound::AtMost(time),
        ));
    }
    Ok(table)
}

/// A process with this many pairs, once it has them.
fn hold(pairs: usize, interrupt: &Interrupt) -> anyhow::Result<ChildProcess> {
    interrupt.check()?;
    let program = std::env::current_exe()?.with_file_name("socket_pairs");
    let (ready, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command
        .arg(pairs.to_string())
        .stdin(Stdio::piped())
        .stdout(writer);
    let child = ChildProcess::start(&mut command)?;
    drop(command);
    let mut line = String::new();
    BufReader::new(ready).read_line(&mut line)?;
    ensure!(
        line.trim() == pairs.to_string(),
        "a process could not open {pairs} pairs of sockets"
    );
    Ok(child)
}

/// The milliseconds that a program takes from start to end; its output is discarded.
fn time(lister: &Lister<'_>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let status = Command::new(lister.program)
        .args(lister.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", lister.program.display()))?;
    // Where it could not look into something, lsof ends with 1 and sockeye with 7.
    ensure!(
        matches!(status.code(), Some(0 | 1 | 7)),
        "it ended with {status}"
    );
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
