//! The machine and the versions of the programs that ran on it.

use crate::child::ChildProcess;
use crate::interrupt::Interrupt;
use crate::rounds::Harness;
use crate::tools::{self, Tools};
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// Programs of others that are measured or measure, and the option that prints their version.
const PROGRAMS: [(&str, &[&str]); 10] = [
    ("rustc", &["--version"]),
    ("cc", &["--version"]),
    ("go", &["version"]),
    // It does not tell its version, so this is what Debian knows.
    ("s6", &[]),
    ("socat", &["-V"]),
    ("ncat", &["--version"]),
    ("ss", &["-V"]),
    ("lsof", &["-v"]),
    ("strace", &["--version"]),
    ("valgrind", &["--version"]),
];

/// A line for each fact; `unknown` where it cannot be found out.
pub(crate) fn describe(tools: &Tools, harness: &Harness<'_>) -> String {
    let interrupt = harness.interrupt;
    let cores = std::thread::available_parallelism();
    let own = [
        ("date", said_by("date", &["-u", "+%F"], interrupt)),
        ("rounds", Some(rounds(harness))),
        ("processor", processor()),
        ("cores", cores.ok().map(|cores| cores.to_string())),
        ("kernel", kernel()),
        (
            "sockeye",
            version_of(&tools.sockeye, &["--version"], interrupt),
        ),
        ("commit", commit(interrupt)),
        ("tokio", locked("tokio")),
    ];
    let others = PROGRAMS.map(|(name, arguments)| {
        let version = match name {
            "s6" => version_of("dpkg-query", &["-W", "-f=${Version}", "s6"], interrupt),
            _ => version_of(name, arguments, interrupt),
        };
        (name, version)
    });
    let lines = own.into_iter().chain(others).map(|(name, fact)| {
        let fact = fact.unwrap_or_else(|| "unknown".to_owned());
        format!("{name:<10} {fact}\n")
    });
    lines.collect()
}

fn rounds(harness: &Harness<'_>) -> String {
    format!("{}, turns of {:?}", harness.rounds, harness.turn)
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

fn commit(interrupt: &Interrupt) -> Option<String> {
    let root = tools::workspace().to_str()?;
    said_by(
        "git",
        &["-C", root, "describe", "--always", "--dirty"],
        interrupt,
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
fn said_by(
    program: impl AsRef<OsStr>,
    arguments: &[&str],
    interrupt: &Interrupt,
) -> Option<String> {
    let text = ChildProcess::output(Command::new(program).args(arguments), interrupt)?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The first line with something like a version that a program prints.
fn version_of(
    program: impl AsRef<OsStr>,
    arguments: &[&str],
    interrupt: &Interrupt,
) -> Option<String> {
    let text = ChildProcess::output(Command::new(program).args(arguments), interrupt)?;
    let line = text.lines().find(|line| has_version(line))?;
    Some(line.trim().to_owned())
}

/// A dot between digits.
fn has_version(line: &str) -> bool {
    let mut triples = line.as_bytes().windows(3);
    triples
        .any(|triple| triple[0].is_ascii_digit() && triple[1] == b'.' && triple[2].is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_knows_tokio_but_not_everything() {
        assert!(locked("tokio").is_some_and(|version| version.starts_with('1')));
        assert_eq!(locked("no-such-package"), None);
    }

    #[test]
    fn a_version_is_digits_with_dots() {
        assert!(has_version("    revision: 4.95.0"));
        assert!(!has_version(
            "socat by Gerhard Rieger, see www.dest-unreach.org"
        ));
    }
}
