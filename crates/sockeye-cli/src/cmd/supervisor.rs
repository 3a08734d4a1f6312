//! `--supervisor`: the command runs in a child process, which this one can leave behind.
//!
//! Whoever reads a file of a FUSE whose server hangs, or closes one, cannot be ended by any signal.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::low_level::pipe;
use sockeye::{Address, Connector, Kind, Name};

use super::ignored::is_ignored;
use super::parent;
use crate::exit::{self, Exit, by_signal};

const OPTION: &str = "--supervisor";
/// How long the child may take to end after a signal.
const GRACE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// Added to a signal's number, as a shell does.
const BY_SIGNAL: u8 = 128;

/// Runs this command line in a child process, passes signals on to it, and ends as it does; also when
/// the child has reported its result and cannot end.
pub(super) fn supervise() -> anyhow::Result<Exit> {
    let (mut results, to) = UnixStream::pair()?;
    let signals = [Signal::INT, Signal::TERM];
    let signals = signals
        .into_iter()
        .filter(|signal| !is_ignored(signal.as_raw()));
    let mut arrivals = Vec::new();
    for signal in signals {
        let (arrival, handler) = UnixStream::pair()?;
        pipe::register(signal.as_raw(), handler)?;
        arrivals.push((signal, arrival));
    }
    let mut child = start(&to).context("cannot start a child process")?;
    drop(to);
    let signal = wait(&results, &arrivals, &child)?;
    if let Some(signal) = signal {
        return Err(by_signal(signal));
    }
    let mut code = [0];
    match results.read(&mut code) {
        Ok(1) if code[0] >= BY_SIGNAL => {
            let signal = Signal::from_named_raw(i32::from(code[0] - BY_SIGNAL));
            Err(signal.map_or_else(|| io::Error::from(ErrorKind::InvalidData).into(), by_signal))
        }
        Ok(1) => Ok(Exit::from_code(code[0])),
        // It has ended without a result.
        _ => match child.wait()?.signal().and_then(Signal::from_named_raw) {
            Some(signal) => Err(by_signal(signal)),
            None => Ok(Exit::Failed),
        },
    }
}

fn start(to: &UnixStream) -> io::Result<Child> {
    // It is the only thread, so that no other process inherits it.
    fcntl_setfd(to, FdFlags::empty())?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments.by_ref().skip(1).take(1));
    command.arg(OPTION).arg(to.as_raw_fd().to_string());
    parent::end_with_us(&mut command).args(arguments).spawn()
}

/// Waits for the result of the child, or its end; then, or shortly afterwards, for the signal that came.
fn wait(
    results: &UnixStream,
    arrivals: &[(Signal, UnixStream)],
    child: &Child,
) -> io::Result<Option<Signal>> {
    let mut came = None;
    loop {
        let mut fds = vec![PollFd::new(results, PollFlags::IN)];
        if came.is_none() {
            for (_, arrival) in arrivals {
                fds.push(PollFd::new(arrival, PollFlags::IN));
            }
        }
        match poll(&mut fds, came.map(|_| GRACE).as_ref()) {
            Ok(0) | Err(Errno::INTR) if came.is_none() => continue,
            Ok(0) => return Ok(came),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(came),
            Ok(_) => {}
        }
        let arrived = fds.iter().skip(1).position(|fd| !fd.revents().is_empty());
        if let Some((signal, _)) = arrived.and_then(|index| arrivals.get(index)) {
            came = Some(*signal);
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // It may have ended.
            let _ = pid.map(|pid| kill_process(pid, *signal));
        }
    }
}

/// The connection of the child to its supervisor.
pub(super) struct Supervisor(UnixStream);

impl Supervisor {
    /// By the options that [`supervise`] gives.
    pub(super) fn inherited(fd: RawFd, process: Option<i32>) -> anyhow::Result<Self> {
        let address = Address::new(Kind::Stream, &Name::Fd(fd))?;
        let stream = Connector::new().connect_blocking(&address)?;
        if let Some(process) = process {
            parent::end_with(process)?;
        }
        Ok(Self(stream))
    }

    /// Prints an error, and reports how the command ends.
    pub(super) fn finish(mut self, result: anyhow::Result<Exit>) -> anyhow::Result<Exit> {
        let (code, result) = match result {
            Ok(exit) => (exit as u8, Ok(exit)),
            Err(error) => match exit::signal_of(&error) {
                Some(signal) => (BY_SIGNAL + signal.as_raw() as u8, Err(error)),
                None => {
                    let exit = crate::complain_of(&error);
                    (exit as u8, Ok(exit))
                }
            },
        };
        // The supervisor may be gone.
        let _ = self.0.write_all(&[code]);
        result
    }
}
