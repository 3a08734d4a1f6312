//! Standard input to a socket and back, both at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sockeye::Address;

use crate::exit::{Exit, failure};

const BUFFER: usize = 64 * 1024;
/// How long the input may take to end after the peer has closed.
const GRACE: Duration = Duration::from_secs(1);

/// What to send.
pub(crate) enum Input {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Standard input to its end.
    Stdin,
}

pub(crate) struct Exchange<'a> {
    pub(crate) address: &'a Address,
    pub(crate) stream: UnixStream,
    /// Half-close at the end of the input.
    pub(crate) half_close: bool,
    /// The time for all of it.
    pub(crate) timeout: Option<Duration>,
    /// An input that has not ended when the peer has closed is an error: the rest would be lost.
    pub(crate) whole_input: bool,
}

/// The sending side, on a thread of its own.
struct Sending {
    thread: std::thread::JoinHandle<io::Result<()>>,
    /// Hangs up when the thread ends.
    ended: UnixStream,
    /// Whether bytes may be on their way from the input to the socket.
    moving: Arc<AtomicBool>,
    from_stdin: bool,
}

impl Exchange<'_> {
    /// Sends the input and gives to `receive` what comes, until both directions have ended or the
    /// peer has closed the connection.
    pub(crate) fn run(
        self,
        input: Input,
        mut receive: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let deadline = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let sending = Sending::start(self.stream.try_clone()?, input, self.half_close)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            self.wait(deadline, &mut [PollFd::new(&self.stream, PollFlags::IN)])?;
            match (&self.stream).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => receive(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        // The peer sends no more; it may still read.
        while !sending.has_ended()? {
            if !has_hung_up(self.stream.as_fd())? {
                let mut fds = [
                    PollFd::new(&self.stream, PollFlags::empty()),
                    PollFd::new(&sending.ended, PollFlags::IN),
                ];
                self.wait(deadline, &mut fds)?;
            } else if self.whole_input {
                if !sending.ends_within(GRACE)? {
                    return Err(self.unsent());
                }
            } else if sending.is_idle()? {
                break;
            }
        }
        match sending.result() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn wait(&self, deadline: Option<Instant>, fds: &mut [PollFd<'_>]) -> anyhow::Result<()> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // A time too long for the kernel is as good as none.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(fds, left.as_ref()) {
                Ok(0) => {
                    let time = self.timeout.unwrap_or_default();
                    let address = self.address;
                    return Err(failure(
                        Exit::TimedOut,
                        format!(
                            "cannot finish with {address}: the answer was not complete after {time:?}; allow more with --timeout, or look at the server"
                        ),
                    ));
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }

    fn unsent(&self) -> anyhow::Error {
        let address = self.address;
        failure(
            Exit::Failed,
            format!(
                "cannot finish with {address}: the server closed the connection before the end of the input; end the input, or look at the server"
            ),
        )
    }

    fn broken(&self, error: &io::Error) -> anyhow::Error {
        let address = self.address;
        let text = match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => format!(
                "cannot finish with {address}: the server closed the connection before it had read everything; look at its log"
            ),
            _ => format!("cannot finish with {address}: {error}"),
        };
        failure(Exit::Failed, text)
    }
}

impl Sending {
    fn start(stream: UnixStream, input: Input, half_close: bool) -> io::Result<Self> {
        let (ended, guard) = UnixStream::pair()?;
        let moving = Arc::new(AtomicBool::new(true));
        let from_stdin = matches!(input, Input::Stdin);
        let thread = {
            let moving = Arc::clone(&moving);
            std::thread::Builder::new().spawn(move || {
                let _guard = guard;
                let sent = match input {
                    Input::Bytes(bytes) => (&stream).write_all(&bytes),
                    Input::Stdin => copy_stdin(&stream, &moving),
                };
                if half_close && sent.is_ok() {
                    let _ = stream.shutdown(Shutdown::Write);
                }
                sent
            })?
        };
        Ok(Self {
            thread,
            ended,
            moving,
            from_stdin,
        })
    }

    fn has_ended(&self) -> io::Result<bool> {
        has_hung_up(self.ended.as_fd())
    }

    /// Waits for the end of the input, for a server often closes before it has come.
    fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.ended, PollFlags::IN)];
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        Ok(poll(&mut fds, Some(&time))? > 0)
    }

    /// Whether standard input, a terminal perhaps, has nothing for now that the peer would not get.
    fn is_idle(&self) -> io::Result<bool> {
        let stdin = io::stdin();
        // In this order: what was readable is marked as moving before it is read.
        let idle = !is_readable(stdin.as_fd())? && !self.moving.load(Ordering::SeqCst);
        if !idle {
            std::thread::yield_now();
        }
        Ok(idle && self.from_stdin)
    }

    fn result(self) -> io::Result<()> {
        if !self.has_ended()? {
            // It waits for more input and has nothing to tell.
            return Ok(());
        }
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => Err(io::Error::other("the sending thread panicked")),
        }
    }
}

fn copy_stdin(mut stream: &UnixStream, moving: &AtomicBool) -> io::Result<()> {
    let stdin = io::stdin();
    let mut buffer = vec![0; BUFFER];
    loop {
        moving.store(false, Ordering::SeqCst);
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        moving.store(true, Ordering::SeqCst);
        match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.write_all(&buffer[..count])?,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn has_hung_up(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(state(fd, PollFlags::empty())?.intersects(PollFlags::HUP | PollFlags::ERR))
}

fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(!state(fd, PollFlags::IN)?.is_empty())
}

fn state(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    poll(&mut fds, Some(&Timespec::default()))?;
    Ok(fds[0].revents())
}

/// Writes to standard output and flushes, so that an answer in pieces is seen as it comes.
pub(crate) fn to_stdout(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            failure(
                Exit::Failed,
                format!("cannot write to standard output: {error}"),
            )
        })
}
