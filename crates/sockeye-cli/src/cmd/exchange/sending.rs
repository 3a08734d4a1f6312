//! [`Sending`]: the sending direction, on a thread of its own.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::io::retry_on_intr;
use sockeye::ancillary::SendError;

use super::channel::{Channel, Unsent};
use super::pieces::{Piece, borrowed};
use super::pollable_thread::PollableThread;
use super::{BUFFER, Input, is_readable};

pub(super) struct Sending {
    thread: PollableThread<Result<(), Unsent>>,
    /// Whether bytes may be on their way from the input to the socket.
    moving: Arc<AtomicBool>,
    pub(super) from_stdin: bool,
}

impl Sending {
    /// Sends `input`, and `descriptors` with its first bytes.
    pub(super) fn start(
        channel: Arc<Channel>,
        (input, descriptors): (Input, Vec<OwnedFd>),
        half_close: bool,
        max_message: usize,
    ) -> io::Result<Self> {
        let moving = Arc::new(AtomicBool::new(true));
        let from_stdin = matches!(input, Input::Stdin);
        let thread = {
            let moving = Arc::clone(&moving);
            PollableThread::start(move || {
                let sent = match input {
                    Input::Bytes(bytes) => {
                        let sent = channel.send(&bytes, &borrowed(&descriptors));
                        sent.map_err(Unsent::from)
                    }
                    Input::Stdin => {
                        let stdin = Stdin::new(&channel, descriptors, max_message);
                        stdin.copy(&moving)
                    }
                };
                channel.sent(&sent, half_close);
                sent
            })?
        };
        Ok(Self {
            thread,
            moving,
            from_stdin,
        })
    }

    pub(super) fn has_ended(&self) -> io::Result<bool> {
        self.thread.has_ended()
    }

    /// Waits for the end of the sending: a server often closes before the input has ended.
    pub(super) fn ends_within(&self, time: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.thread, PollFlags::IN)];
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        Ok(retry_on_intr(|| poll(&mut fds, Some(&time)))? > 0)
    }

    /// Whether standard input (a terminal, perhaps) has nothing at the moment that would be lost.
    pub(super) fn is_idle(&self) -> io::Result<bool> {
        let stdin = io::stdin();
        // In this order: what was readable is marked as moving before it is read.
        let idle = !is_readable(stdin.as_fd())? && !self.moving.load(Ordering::SeqCst);
        if !idle {
            std::thread::yield_now();
        }
        Ok(idle && self.from_stdin)
    }

    pub(super) fn result(self) -> io::Result<Result<(), Unsent>> {
        if self.has_ended()? {
            self.thread.result()
        } else {
            // It waits for more input: no error.
            Ok(Ok(()))
        }
    }
}

impl AsFd for Sending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.thread.as_fd()
    }
}

/// Standard input on its way to `channel`: as it comes, or line by line as records.
struct Stdin<'a> {
    channel: &'a Channel,
    /// Standard input, if that is a socket whose records and fds are passed on.
    socket: Option<Channel>,
    /// The beginning of a line that is to be a record.
    line: Vec<u8>,
    /// Fds to send with the next bytes.
    descriptors: Vec<OwnedFd>,
    max_message: usize,
}

impl<'a> Stdin<'a> {
    fn new(channel: &'a Channel, descriptors: Vec<OwnedFd>, max_message: usize) -> Self {
        Self {
            channel,
            socket: Channel::of_inherited(io::stdin().as_fd()),
            line: Vec::new(),
            descriptors,
            max_message,
        }
    }

    fn copy(mut self, moving: &AtomicBool) -> Result<(), Unsent> {
        let stdin = io::stdin();
        let is_record = self.socket.as_ref().is_some_and(Channel::has_records);
        let mut buffer = vec![0; if is_record { self.max_message } else { BUFFER }];
        let mut reset = None;
        loop {
            moving.store(false, Ordering::SeqCst);
            match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Unsent::Input(errno.into())),
            }
            moving.store(true, Ordering::SeqCst);
            let came = match &self.socket {
                Some(socket) => match socket.receive(&mut buffer).map_err(io::Error::from) {
                    // A seqpacket socket reports the reset before the records that are queued.
                    Err(error) if error.kind() == ErrorKind::ConnectionReset && reset.is_none() => {
                        reset = Some(error);
                        continue;
                    }
                    came => came.map_err(Unsent::Input)?,
                },
                None => match rustix::io::read(&stdin, &mut buffer) {
                    Ok(0) => None,
                    Ok(count) => Some(vec![Piece::from(&buffer[..count])]),
                    Err(Errno::INTR | Errno::AGAIN) => continue,
                    Err(errno) => return Err(Unsent::Input(errno.into())),
                },
            };
            let Some(pieces) = came else {
                break;
            };
            for mut piece in pieces {
                self.descriptors.append(&mut piece.descriptors);
                if self.channel.has_records() && !is_record {
                    self.send_lines(&piece.bytes)?;
                } else {
                    self.send(&piece.bytes)?;
                }
            }
        }
        // The server must not take it for an orderly end.
        if let Some(error) = reset {
            return Err(Unsent::Input(error));
        }
        // A last line without its newline, or fds without a line.
        if !self.line.is_empty() || !self.descriptors.is_empty() {
            self.send_line()?;
        }
        Ok(())
    }

    fn send_lines(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
                self.send_line()?;
            }
        }
        // A line that is too long already is not collected to its end.
        if self.line.len() > self.max_message {
            self.send_line()
        } else {
            Ok(())
        }
    }

    fn send_line(&mut self) -> Result<(), SendError> {
        let line = std::mem::take(&mut self.line);
        if line.len() > self.max_message {
            let limit = self.max_message;
            let text =
                format!("a line of more than {limit} bytes; --max-message allows longer ones");
            return Err(io::Error::other(text).into());
        }
        self.send(&line)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let descriptors = std::mem::take(&mut self.descriptors);
        self.channel.send(bytes, &borrowed(&descriptors))
    }
}
