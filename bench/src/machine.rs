//! Where figures come from: the machine and the versions of what ran on it.

use crate::child::Child;
use crate::stop::Stop;
use crate::tools::{self, Tools};
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// A line for each fact; what cannot be found out is said to be unknown.
pub(crate) fn describe(tools: &Tools, stop: &Stop) -> String {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism();
    let facts = [
        ("processor", processor()),
        ("cores", cores.ok().map(|cores| cores.to_string())),
        ("kernel", kernel()),
        ("sockeye", said_by(&tools.sockeye, &["--version"], stop)),
        ("commit", commit(stop)),
        ("rustc", said_by("rustc", &["--version"], stop)),
        ("tokio", locked("tokio")),
        ("go", said_by("go", &["version"], stop)),
    ];
    let lines = facts.map(|(name, fact)| format!("{name:<10} {}\n", fact.unwrap_or_else(unknown)));
    lines.concat()
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kernel() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}

fn commit(stop: &Stop) -> Option<String> {
    let root = tools::workspace().to_str()?;
    said_by(
        "git",
        &["-C", root, "describe", "--always", "--dirty"],
        stop,
    )
}

/// The version of a package in our lock file.
fn locked(package: &str) -> Option<String> {
    let text = fs::read_to_string(tools::workspace().join("Cargo.lock")).ok()?;
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = ")?;
    Some(version.trim_matches('"').to_owned())
}

/// The first line that a program prints.
fn said_by(program: impl AsRef<OsStr>, arguments: &[&str], stop: &Stop) -> Option<String> {
    let text = Child::output(Command::new(program).args(arguments), stop)?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_knows_tokio_but_not_everything() {
        assert!(locked("tokio").is_some_and(|version| version.starts_with('1')));
        assert_eq!(locked("no-such-package"), None);
    }
}
