//! The command line, as plain values.

use crate::parts::{BenchPart, PARTS};
use crate::tools::workspace;
use anyhow::{Context, bail, ensure};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
const HELP: &str = "\
Sockeye side by side with other servers, in interleaved rounds.

Usage: cargo run --release -p sockeye-bench -- [OPTIONS]

  --rounds N       rounds; in each, every server has one turn [5]
  --seconds S      length of one turn [1]
  --only PART      only this, and print only; repeatable
  --output FILE    write the results here as well [bench/RESULTS.md]
  --sockeye FILE   compare this binary instead of building the workspace's
  -h, --help       print this

PART is one of
  PARTS

Tables go to standard output, progress and each single figure to standard error.
The file is written at the very end, in one go.
";

/// What to run.
pub(crate) struct Args {
    pub(crate) rounds: usize,
    pub(crate) turn: Duration,
    pub(crate) parts: Vec<&'static BenchPart>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) sockeye: Option<PathBuf>,
}

impl Args {
    /// `None` for `--help`.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> anyhow::Result<Option<Self>> {
        let mut args = Self {
            rounds: 5,
            turn: Duration::from_secs(1),
            parts: Vec::new(),
            output: None,
            sockeye: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(option) = arguments.next() {
            let option = option.to_string_lossy().into_owned();
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "-h" | "--help" => return Ok(None),
                "--output" => args.output = Some(value()?.into()),
                "--sockeye" => args.sockeye = Some(value()?.into()),
                "--rounds" => {
                    let text = value()?;
                    args.rounds = text.to_string_lossy().parse().context("--rounds")?;
                    ensure!(args.rounds > 0, "--rounds must be at least 1");
                }
                "--seconds" => {
                    let text = value()?;
                    let seconds: f64 = text.to_string_lossy().parse().context("--seconds")?;
                    ensure!(
                        (0.1..=3600.0).contains(&seconds),
                        "--seconds must be 0.1 to 3600"
                    );
                    args.turn = Duration::from_secs_f64(seconds);
                }
                "--only" => {
                    let name = value()?;
                    let part = PARTS.iter().find(|part| name == part.name);
                    let names = names(&PARTS);
                    args.parts.push(part.with_context(|| {
                        format!("--only knows {names}, not {}", name.to_string_lossy())
                    })?);
                }
                other => bail!("unknown option {other}; try --help"),
            }
        }
        if args.parts.is_empty() {
            args.parts = PARTS.iter().collect();
            let results = || workspace().join("bench/RESULTS.md");
            args.output = args.output.or_else(|| Some(results()));
        }
        Ok(Some(args))
    }
}

pub(crate) fn help() -> String {
    let lines = PARTS.chunks(6).map(names);
    HELP.replace("PARTS", &lines.collect::<Vec<_>>().join(",\n  "))
}

fn names(parts: &[BenchPart]) -> String {
    let names: Vec<_> = parts.iter().map(|part| part.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Option<Args>> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_everything_runs_and_is_written() {
        let args = parse("").unwrap().unwrap();
        assert_eq!((args.rounds, args.parts.len()), (5, PARTS.len()));
        assert!(args.output.unwrap().ends_with("bench/RESULTS.md"));
    }

    #[test]
    fn options_are_taken() {
        let args = parse("--rounds 3 --seconds 0.5 --only idle --only echo")
            .unwrap()
            .unwrap();
        assert_eq!(args.rounds, 3);
        assert_eq!(args.turn, Duration::from_millis(500));
        let names: Vec<_> = args.parts.iter().map(|part| part.name).collect();
        assert_eq!(names, ["idle", "echo"]);
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn a_part_is_written_on_request_only() {
        let output = |line| parse(line).unwrap().unwrap().output;
        assert_eq!(output("--only idle"), None);
        assert_eq!(output("--only idle --output x"), Some("x".into()));
        assert_eq!(output("--output x"), Some("x".into()));
    }

    #[test]
    fn help_fits_80_columns() {
        for line in help().lines() {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--rounds",
            "--rounds 0",
            "--seconds -1",
            "--seconds NaN",
            "--only all",
            "x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
