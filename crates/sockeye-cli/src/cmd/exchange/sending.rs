//! [`Sending`]: the side that sends, on a thread of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_send_buffer_size;
use sockeye::ancillary::SendError;

use super::channel::Channel;
use super::{BUFFER, Input, has_hung_up, is_readable};

pub(super) struct Sending {
    thread: std::thread::JoinHandle<Result<(), SendError>>,
    /// Hangs up when the thread ends.
    pub(super) ended: UnixStream,
    /// Whether bytes may be on their way from the input to the socket.
    moving: Arc<AtomicBool>,
    from_stdin: bool,
}

impl Sending {
    pub(super) fn start(
        channel: Arc<Channel>,
        input: Input,
        descriptors: Vec<OwnedFd>,
        half_close: bool,
    ) -> io::Result<Self> {
        let (ended, guard) = UnixStream::pair()?;
        let moving = Arc::new(AtomicBool::new(true));
        let from_stdin = matches!(input, Input::Stdin);
        let thread = {
            let moving = Arc::clone(&moving);
            std::thread::Builder::new().spawn(move || {
                let _guard = guard;
                let fds: Vec<BorrowedFd> = descriptors.iter().map(AsFd::as_fd).collect();
                let sent = match input {
                    Input::Bytes(bytes) => channel.send(&bytes, &fds),
                    Input::Stdin => copy_stdin(&channel, &fds, &moving),
                };
                channel.sent(&sent, half_close);
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

    pub(super) fn has_ended(&self) -> io::Result<bool> {
        has_hung_up(self.ended.as_fd())
    }

    /// Waits for the end of the input, for a server often closes before it has come.
    pub(super) fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.ended, PollFlags::IN)];
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        Ok(poll(&mut fds, Some(&time))? > 0)
    }

    /// Whether standard input, a terminal perhaps, has nothing for now that the peer would not get.
    pub(super) fn is_idle(&self) -> io::Result<bool> {
        let stdin = io::stdin();
        // In this order: what was readable is marked as moving before it is read.
        let idle = !is_readable(stdin.as_fd())? && !self.moving.load(Ordering::SeqCst);
        if !idle {
            std::thread::yield_now();
        }
        Ok(idle && self.from_stdin)
    }

    pub(super) fn result(self) -> io::Result<Result<(), SendError>> {
        if !self.has_ended()? {
            // It waits for more input and has nothing to tell.
            return Ok(Ok(()));
        }
        let result = self.thread.join();
        result.map_err(|_| io::Error::other("the sending thread panicked"))
    }
}

/// Sends what comes on standard input: as it comes, or line by line as records.
fn copy_stdin(
    channel: &Channel,
    descriptors: &[BorrowedFd<'_>],
    moving: &AtomicBool,
) -> Result<(), SendError> {
    let stdin = io::stdin();
    let mut buffer = vec![0; BUFFER];
    let mut line = Vec::new();
    let mut descriptors = descriptors;
    let mut send = |bytes: &[u8]| channel.send(bytes, std::mem::take(&mut descriptors));
    // A line of more bytes cannot be sent, so its end is not waited for.
    let longest = socket_send_buffer_size(channel).map_err(io::Error::from)?;
    loop {
        moving.store(false, Ordering::SeqCst);
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        moving.store(true, Ordering::SeqCst);
        let read = match rustix::io::read(&stdin, &mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(errno) => return Err(io::Error::from(errno).into()),
        };
        if !channel.has_records() {
            send(read)?;
            continue;
        }
        for piece in read.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if line.last() == Some(&b'\n') {
                line.pop();
                send(&line)?;
                line.clear();
            }
        }
        if line.len() > longest {
            return send(&line);
        }
    }
    // A last line without its newline, or descriptors without a line.
    match line.is_empty() && descriptors.is_empty() {
        true => Ok(()),
        false => channel.send(&line, descriptors),
    }
}
