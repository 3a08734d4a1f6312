//! What the example servers have in common, so that each shows its own subject only.
//!
//! `NAME ADDRESS [--drain D]` writes `listening on ADDRESS` to standard error once clients can connect,
//! drains at SIGTERM or Ctrl-C for at most D (a second signal aborts), and writes what it has done as its
//! last line. It exits with 0, or with 7 where something was aborted.
#![allow(
    dead_code,
    clippy::print_stderr,
    reason = "no example uses all of it, and all are programs"
)]

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use sockeye::{Address, CancellationToken, Report, shutdown_signal};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
/// `Debug` of the errors of this library, which is printed where main fails, is their sentence.
pub(crate) type Ending = Result<ExitCode, BoxError>;

/// The command line: the address, `--drain D`, and what else an example takes.
pub(crate) struct Arguments {
    pub(crate) address: Address,
    /// The drain timeout; ten seconds unless set.
    pub(crate) drain: Duration,
    usage: &'static str,
    words: Vec<OsString>,
}

impl Arguments {
    pub(crate) fn parse(usage: &'static str) -> Result<Self, BoxError> {
        Self::parse_or(None, usage)
    }

    /// With an address for where there is none.
    pub(crate) fn parse_or(default: Option<&str>, usage: &'static str) -> Result<Self, BoxError> {
        let mut words: Vec<_> = env::args_os().skip(1).collect();
        let has_address = words.first().is_some_and(|first| !is_option(first));
        let first = has_address.then(|| words.remove(0));
        let address = first
            .or(default.map(OsString::from))
            .ok_or(Usage(usage.to_owned()))?;
        let mut arguments = Self {
            address: Address::parse(address)?,
            drain: Duration::from_secs(10),
            usage,
            words,
        };
        if let Some(Time(drain)) = arguments.value("--drain")? {
            arguments.drain = drain;
        }
        Ok(arguments)
    }

    /// Whether this option is there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// The value of this option.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, BoxError> {
        let Some(at) = self.words.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.words.remove(at);
        if at == self.words.len() {
            return Err(self.usage_error().into());
        }
        let value = self.words.remove(at);
        let value = value.to_str().and_then(|value| value.parse().ok());
        let wrong = || Usage(format!("{name} has no such value; {}", self.usage));
        Ok(Some(value.ok_or_else(wrong)?))
    }

    /// The other words, after the options have been taken.
    pub(crate) fn rest(&mut self) -> Result<Vec<OsString>, BoxError> {
        match self.words.iter().find(|word| is_option(word)) {
            Some(_) => Err(self.usage_error().into()),
            None => Ok(std::mem::take(&mut self.words)),
        }
    }

    /// There are no other words.
    pub(crate) fn end(&self) -> Result<(), BoxError> {
        match self.words[..] {
            [] => Ok(()),
            _ => Err(self.usage_error().into()),
        }
    }

    pub(crate) fn usage_error(&self) -> Usage {
        Usage(self.usage.to_owned())
    }
}

/// Why the command line is wrong.
#[derive(thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_option(word: &OsString) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

/// `500ms`, `2s`, or seconds.
struct Time(Duration);

impl FromStr for Time {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, 1e-3),
            None => (text.trim_end_matches('s'), 1.0),
        };
        let seconds = number.parse::<f64>()? * unit;
        Ok(Self(Duration::try_from_secs_f64(seconds)?))
    }
}

/// SIGTERM and SIGINT: the future completes at the first one and begins the drain, and the second one
/// cancels the token and aborts. To be called before the listener is there, so that no signal leaves the
/// socket file behind.
pub(crate) fn signals() -> io::Result<(impl Future<Output = ()> + Send, CancellationToken)> {
    let mut signals = shutdown_signal()?;
    let abort = CancellationToken::new();
    let token = abort.clone();
    let first = async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            token.cancel();
        });
    };
    Ok((first, abort))
}

/// Says that clients can connect.
pub(crate) fn listening(address: &Address) {
    eprintln!("listening on {address}");
}

/// Says what the server has done.
pub(crate) fn finish(report: &Report) -> Ending {
    eprintln!("{report}");
    let is_complete = report.aborted + report.dropped_replies == 0;
    Ok(ExitCode::from(if is_complete { 0 } else { 7 }))
}
