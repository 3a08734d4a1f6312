//! What is shown: results on standard output, everything else on standard error.

pub(crate) mod descriptor;
pub(crate) mod elide;
pub(crate) mod escape;
pub(crate) mod figures;
mod fit;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod socket;
pub(crate) mod stopped;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod users;
pub(crate) mod wrap;
mod writer;

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::exit::{Exit, by_signal, failure};

/// Writes to standard output and flushes, so that what comes in pieces is seen as it comes. Where
/// nobody reads, such as head(1) that has seen enough, the command ends in silence.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| unprinted(&error))
}

/// The end of a command whose output could not be written.
pub(crate) fn unprinted(error: &io::Error) -> anyhow::Error {
    match is_of_a_reader_gone(error) {
        true => by_signal(Signal::PIPE),
        false => failure(
            Exit::Failed,
            format!("cannot write to standard output: {error}"),
        ),
    }
}

/// `1 byte`, `2 bytes`
pub(crate) fn bytes(count: usize) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}

/// A duration as an option takes it: `0s`, `50us`, `1.5s`.
pub(crate) fn duration(time: Duration) -> String {
    match time {
        Duration::ZERO => "0s".to_owned(),
        _ if time < Duration::from_micros(1) => format!("{}us", time.as_nanos() as f64 / 1e3),
        _ => format!("{time:?}").replace("µs", "us"),
    }
}

/// Whether standard output could not be written since nobody reads it; a terminal that has hung up
/// calls that an I/O error.
pub(crate) fn is_of_a_reader_gone(error: &io::Error) -> bool {
    let stdout = io::stdout();
    // No event is asked for: a hang-up is told all the same.
    let mut state = [PollFd::new(&stdout, PollFlags::empty())];
    let found = poll(&mut state, Some(&Timespec::default()));
    error.kind() == ErrorKind::BrokenPipe || found.is_ok_and(|found| found > 0)
}

/// Writes one line of error to standard error. What others chose in it is escaped already.
pub(crate) fn complain(text: &str) {
    // If standard error is gone, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "sockeye: {}", escape::line(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::values;

    #[test]
    fn a_duration_is_shown_as_options_take_it() {
        for (nanos, shown) in [
            (0, "0s"),
            (100, "0.1us"),
            (50_000, "50us"),
            (1_500_000, "1.5ms"),
            (90_000_000_000, "90s"),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(duration(time), shown);
            assert_eq!(values::duration(shown), Ok(time));
        }
    }
}
