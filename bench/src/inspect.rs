//! How long it takes to list all sockets with their processes.

use crate::child::Child;
use crate::series::Series;
use crate::stop::Stop;
use anyhow::{Context, ensure};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How the sockets are spread: processes, and pairs of sockets in each.
pub(crate) const SPREADS: [(usize, usize); 3] = [(1, 4500), (1, 9000), (200, 25)];

/// A program that lists sockets, and the most that ours may take of its time.
struct Lister<'a> {
    name: &'a str,
    command: Vec<&'a str>,
    goal: f64,
}

/// Has the sockets made, lets each program list them in turn, and returns the table.
pub(crate) fn measure(
    sockeye: &Path,
    (processes, pairs): (usize, usize),
    rounds: usize,
    stop: &Stop,
) -> anyhow::Result<String> {
    let sockeye = sockeye
        .to_str()
        .context("the path of sockeye is not UTF-8")?;
    let listers = [
        Lister {
            name: "sockeye ls",
            command: vec![sockeye, "ls", "--all", "--json"],
            goal: 1.0,
        },
        Lister {
            name: "ss -xap",
            command: vec!["ss", "-xap"],
            goal: 0.6,
        },
        Lister {
            name: "lsof -U",
            command: vec!["lsof", "-U"],
            goal: 0.3,
        },
    ];
    let holders: Vec<Child> = (0..processes)
        .map(|_| hold(pairs, stop))
        .collect::<anyhow::Result<_>>()?;

    let mut times = vec![Vec::new(); listers.len()];
    let mut missing = Vec::new();
    // The first round fills the kernel's caches and is not counted.
    for round in 0..=rounds {
        for (lister, times) in listers.iter().zip(&mut times) {
            stop.check()?;
            match time(&lister.command) {
                Ok(seconds) if round > 0 => times.push(seconds * 1e3),
                Ok(_) => {}
                Err(error) if round == 0 => missing.push(format!("{}: {error:#}", lister.name)),
                Err(_) => {}
            }
        }
    }
    drop(holders);

    let mut table = format!(
        "list all sockets with their processes: {processes} x {pairs} pairs\n\
         program          median/ms         min-max  ratio    min-max\n"
    );
    for line in missing {
        writeln!(table, "missing: {line}")?;
    }
    for (lister, taken) in listers.iter().zip(&times) {
        let Some(series) = Series::new(taken.clone()) else {
            continue;
        };
        let ratio = Series::of_ratios(&times[0], taken).context("sockeye did not take part")?;
        writeln!(
            table,
            "{:<16} {:>9.1} {:>15} {:>6.2} {:>10}",
            lister.name,
            series.median(),
            format!("{:.1}-{:.1}", series.min(), series.max()),
            ratio.median(),
            format!("{:.2}-{:.2}", ratio.min(), ratio.max()),
        )?;
        if lister.goal < 1.0 {
            let met = if ratio.median() <= lister.goal {
                "met"
            } else {
                "NOT MET"
            };
            writeln!(
                table,
                "goal: at most {:.2} of {}: {met}",
                lister.goal, lister.name
            )?;
        }
    }
    Ok(table)
}

/// A process with this many pairs, once it has them.
fn hold(pairs: usize, stop: &Stop) -> anyhow::Result<Child> {
    stop.check()?;
    let program = std::env::current_exe()?.with_file_name("socket_pairs");
    let (ready, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command
        .arg(pairs.to_string())
        .stdin(Stdio::piped())
        .stdout(writer);
    let child = Child::start(&mut command)?;
    drop(command);
    let mut line = String::new();
    BufReader::new(ready).read_line(&mut line)?;
    ensure!(
        line.trim() == pairs.to_string(),
        "a process could not open {pairs} pairs of sockets"
    );
    Ok(child)
}

/// The seconds that a program takes from start to end; what it prints goes nowhere.
fn time(command: &[&str]) -> anyhow::Result<f64> {
    let started = Instant::now();
    let status = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", command[0]))?;
    // Where it could not look into something, lsof ends with 1 and sockeye with 7.
    ensure!(
        matches!(status.code(), Some(0 | 1 | 7)),
        "it ended with {status}"
    );
    Ok(started.elapsed().as_secs_f64())
}
