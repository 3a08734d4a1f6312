//! The command line, as plain values.

use anyhow::{Context, bail, ensure};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Sockeye side by side with other servers, in interleaved rounds.

Usage: cargo run --release -p sockeye-bench -- [OPTIONS]

  --rounds N       rounds; in each, every server has one turn [5]
  --seconds S      length of one turn [2]
  --only PART      echo, connect, programs, idle or inspect; repeatable [all]
  --sockeye FILE   compare this binary instead of building the workspace's
  -h, --help       print this

Tables go to standard output, progress and each single figure to standard error.
";

/// One of the contests of servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    /// Messages on connections that stay.
    Echo,
    /// Connect, request, answer, close.
    Connect,
    /// Connect, and have a program started that answers.
    Programs,
    /// Memory of connections that do nothing.
    Idle,
}

impl Part {
    const ALL: [Self; 4] = [Self::Echo, Self::Connect, Self::Programs, Self::Idle];
}

/// What to run.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) rounds: usize,
    pub(crate) turn: Duration,
    pub(crate) parts: Vec<Part>,
    /// Whether to list sockets, too.
    pub(crate) inspect: bool,
    pub(crate) sockeye: Option<PathBuf>,
}

impl Args {
    /// `None`: help is wanted.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> anyhow::Result<Option<Self>> {
        let mut args = Self {
            rounds: 5,
            turn: Duration::from_secs(2),
            parts: Vec::new(),
            inspect: false,
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
                "--only" => match &*value()?.to_string_lossy() {
                    "echo" => args.parts.push(Part::Echo),
                    "connect" => args.parts.push(Part::Connect),
                    "programs" => args.parts.push(Part::Programs),
                    "idle" => args.parts.push(Part::Idle),
                    "inspect" => args.inspect = true,
                    other => {
                        bail!("--only knows echo, connect, programs, idle and inspect, not {other}")
                    }
                },
                other => bail!("unknown option {other}; try --help"),
            }
        }
        if args.parts.is_empty() && !args.inspect {
            args.parts = Part::ALL.to_vec();
            args.inspect = true;
        }
        Ok(Some(args))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Option<Args>> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_everything_runs() {
        let args = parse("").unwrap().unwrap();
        assert_eq!((args.rounds, args.parts), (5, Part::ALL.to_vec()));
    }

    #[test]
    fn options_are_taken() {
        let args = parse("--rounds 3 --seconds 0.5 --only idle --only echo")
            .unwrap()
            .unwrap();
        assert_eq!(args.rounds, 3);
        assert_eq!(args.turn, Duration::from_millis(500));
        assert_eq!(args.parts, [Part::Idle, Part::Echo]);
        assert_eq!(parse("--help").unwrap(), None);
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
