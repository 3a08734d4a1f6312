//! Standard output and standard error: results go to the first, everything else to the second.

pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod reader;
pub(crate) mod terminal;
mod writer;

use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;
use rustix::io::retry_on_intr;
use rustix::process::Signal;

pub(crate) use writer::write_all;

use crate::escape;
use crate::exit::{Exit, by_signal, failure};

/// Whether standard input and output are one file or socket.
pub(crate) fn is_one_file() -> bool {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let identity = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    let input = identity(stdin.as_fd());
    input.is_some() && input == identity(stdout.as_fd())
}

/// Writes to standard output and flushes, so that what comes in pieces is seen as it comes. Where
/// nobody reads, such as head(1) that has seen enough, the command ends in silence.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| unprinted(&error))
}

/// The end of a command whose output could not be written.
pub(crate) fn unprinted(error: &io::Error) -> anyhow::Error {
    if is_of_a_reader_gone(error) {
        by_signal(Signal::PIPE)
    } else {
        failure(
            Exit::Failed,
            format!("cannot write to standard output: {error}"),
        )
    }
}

/// Whether standard output could not be written since nobody reads it; a terminal that has hung up
/// calls that an I/O error.
pub(crate) fn is_of_a_reader_gone(error: &io::Error) -> bool {
    let stdout = io::stdout();
    // poll(2) reports POLLERR and POLLHUP without being asked.
    let mut state = [PollFd::new(&stdout, PollFlags::empty())];
    let found = retry_on_intr(|| poll(&mut state, Some(&Timespec::default())));
    error.kind() == ErrorKind::BrokenPipe || found.is_ok_and(|found| found > 0)
}

/// Writes one line of error to standard error. What others chose in it is escaped already.
pub(crate) fn complain(text: &str) {
    // Without standard error there is no other place for it.
    let _ = writeln!(io::stderr(), "sockeye: {}", escape::line(text));
}
