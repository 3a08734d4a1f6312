//! [`StdioBridge`]: standard input and output as one side of a relay.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    failure: Arc<FirstFailure>,
    written: oneshot::Receiver<()>,
}

pub(super) enum StdioFailure {
    Input(io::Error),
    Output(io::Error),
}

#[derive(Default)]
struct FirstFailure {
    found: Mutex<Option<StdioFailure>>,
    token: CancellationToken,
}

impl StdioBridge {
    /// Starts the threads. Returns the other end of the socket pair, too.
    pub(super) fn start() -> io::Result<(Stream, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = Stream::adopt(OwnedFd::from(theirs)).map_err(io::Error::other)?;
        let failure = Arc::<FirstFailure>::default();
        let (done, written) = oneshot::channel();
        let (input, failed) = (ours.try_clone()?, Arc::clone(&failure));
        thread::Builder::new().spawn(move || {
            if let Err(error) = copy_input(&input) {
                failed.set(StdioFailure::Input(error));
            }
        })?;
        let failed = Arc::clone(&failure);
        thread::Builder::new().spawn(move || {
            if let Err(error) = copy_output(&ours) {
                failed.set(StdioFailure::Output(error));
            }
            // Where nobody waits for it any more the process ends.
            let _ = done.send(());
        })?;
        Ok((theirs, Self { failure, written }))
    }

    /// Completes when standard input or output has failed: what was read is not all of it, or what is
    /// answered can be written nowhere.
    pub(super) async fn failed(&self) {
        self.failure.token.cancelled().await;
    }

    /// Waits until all that came is written to standard output. To be called when the other end is
    /// closed.
    pub(super) async fn finish(self) -> Option<StdioFailure> {
        let _ = self.written.await;
        self.failure.lock().take()
    }
}

impl FirstFailure {
    fn set(&self, failure: StdioFailure) {
        self.lock().get_or_insert(failure);
        self.token.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Option<StdioFailure>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
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
fn copy_output(socket: &UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut socket = socket;
    loop {
        let count = match wait_to_copy(socket).and_then(|()| socket.read(&mut buffer)) {
            Ok(0) => return end_output(),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                stop_reading(socket, &mut buffer);
                return Err(error);
            }
            // A reset, which the relay reports.
            Err(_) => return Ok(()),
        };
        if let Err(error) = write_waiting(io::stdout().as_fd(), &buffer[..count]) {
            stop_reading(socket, &mut buffer);
            return Err(error);
        }
    }
}

/// Waits until something can be read. Fails where nobody reads standard output any more: the target
/// may be silent from now on.
fn wait_to_copy(socket: &UnixStream) -> io::Result<()> {
    let stdout = io::stdout();
    let mut found = [
        PollFd::new(socket, PollFlags::IN),
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    retry_on_intr(|| poll(&mut found, None))?;
    let reader_gone = found[1]
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR);
    if reader_gone {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// The relay tells the target that nobody reads; what is queued is read away, so that it is not waited
/// for.
fn stop_reading(mut socket: &UnixStream, buffer: &mut [u8]) {
    let _ = socket.shutdown(Shutdown::Read);
    while socket.read(buffer).is_ok_and(|count| count > 0) {}
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
