//! [`StdioBridge`]: standard input and output as one side of a relay.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Signal;
use rustix::stdio::{dup2_stdin, dup2_stdout};
use sockeye::Stream;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, by_signal, failure};

/// Bytes of one read.
const BUFFER: usize = 64 << 10;

/// Two threads that join standard input and output to one end of a socket pair: files and terminals
/// cannot be waited for with epoll(7).
pub(super) struct StdioBridge {
    /// Set when standard input or output has failed.
    failure: Arc<Mutex<Option<StdioFailure>>>,
    /// Cancelled when standard input has failed: what was read until then is not all of it.
    pub(super) input_failed: CancellationToken,
    written: oneshot::Receiver<()>,
}

pub(super) enum StdioFailure {
    Input(io::Error),
    Output(io::Error),
}

impl StdioBridge {
    /// Starts the threads. Returns the other end of the socket pair, too.
    pub(super) fn start() -> io::Result<(Stream, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = Stream::adopt(OwnedFd::from(theirs)).map_err(io::Error::other)?;
        let failure = Arc::<Mutex<Option<StdioFailure>>>::default();
        let input_failed = CancellationToken::new();
        let (done, written) = oneshot::channel();
        let (input, failed, token) = (
            ours.try_clone()?,
            Arc::clone(&failure),
            input_failed.clone(),
        );
        thread::Builder::new().spawn(move || {
            if let Err(error) = copy_input(&input) {
                note(&failed, StdioFailure::Input(error));
                token.cancel();
            }
        })?;
        let failed = Arc::clone(&failure);
        thread::Builder::new().spawn(move || {
            if let Err(error) = copy_output(&ours) {
                note(&failed, error);
            }
            // Where nobody waits for it any more the process ends.
            let _ = done.send(());
        })?;
        let bridge = Self {
            failure,
            input_failed,
            written,
        };
        Ok((theirs, bridge))
    }

    /// Waits until all that came is written to standard output. To be called when the other end is
    /// closed.
    pub(super) async fn finish(self) -> Option<StdioFailure> {
        let _ = self.written.await;
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl StdioFailure {
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Input(error) => {
                let text = format!("cannot read standard input: {error}");
                failure(Exit::Failed, text)
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                by_signal(Signal::PIPE)
            }
            Self::Output(error) => {
                let text = format!("cannot write to standard output: {error}");
                failure(Exit::Failed, text)
            }
        }
    }
}

/// Keeps the first failure.
fn note(failure: &Mutex<Option<StdioFailure>>, found: StdioFailure) {
    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
    failure.get_or_insert(found);
}

/// Sends standard input to `socket` until EOF, and that too.
fn copy_input(socket: &UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut socket = socket;
    loop {
        let count = read_waiting(io::stdin().as_fd(), &mut buffer)?;
        if count == 0 {
            let _ = socket.shutdown(Shutdown::Write);
            return Ok(());
        }
        if socket.write_all(&buffer[..count]).is_err() {
            // The target reads no more, and whoever writes to standard input is to learn of it.
            return Ok(dup2_stdin(File::open("/dev/null")?)?);
        }
    }
}

/// Writes what comes from `socket` to standard output until EOF, and that too.
fn copy_output(socket: &UnixStream) -> Result<(), StdioFailure> {
    let mut buffer = vec![0; BUFFER];
    let mut socket = socket;
    loop {
        let count = match socket.read(&mut buffer) {
            Ok(0) => return end_output().map_err(StdioFailure::Output),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A reset, which the relay reports.
            Err(_) => return Ok(()),
        };
        if let Err(error) = write_waiting(io::stdout().as_fd(), &buffer[..count]) {
            // The relay tells the target; what is queued is read away, so that it is not waited for.
            let _ = socket.shutdown(Shutdown::Read);
            while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
            return Err(StdioFailure::Output(error));
        }
    }
}

/// Has the reader of standard output see EOF, though this process goes on.
fn end_output() -> io::Result<()> {
    // It may be a socket, which others have open too.
    let _ = rustix::net::shutdown(io::stdout(), rustix::net::Shutdown::Write);
    Ok(dup2_stdout(File::options().write(true).open("/dev/null")?)?)
}

/// As read(2), also where somebody has made the fd non-blocking.
fn read_waiting(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match retry_on_intr(|| rustix::io::read(fd, &mut *buffer)) {
            Err(Errno::AGAIN) => wait(fd, PollFlags::IN)?,
            read => return Ok(read?),
        }
    }
}

fn write_waiting(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::write(fd, bytes)) {
            Err(Errno::AGAIN) => wait(fd, PollFlags::OUT)?,
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<()> {
    retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None))?;
    Ok(())
}
