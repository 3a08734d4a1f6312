//! [`Conversation`]: sending and receiving at once.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::{BusyPoll, Kind};

use super::channel::{Channel, Unsent};
use super::output::{Output, one_socket};
use super::sending::Sending;
use super::{AwaitedAnswers, BUFFER, Exchange, GRACE, Input, has_hung_up, is_readable};
use crate::exit::by_signal;

pub(super) struct Conversation<'a> {
    exchange: &'a Exchange<'a>,
    channel: Arc<Channel>,
    sending: Sending,
    pub(super) deadline: Option<Instant>,
}

/// How a wait has ended.
#[derive(PartialEq, Eq)]
enum WaitOutcome {
    /// The socket is ready, or the sending has ended.
    Ready,
    /// There is nothing more to wait for.
    End,
    /// The reader of standard output is gone.
    ReaderGone,
}

impl<'a> Conversation<'a> {
    pub(super) fn begin(
        exchange: &'a Exchange<'a>,
        channel: Channel,
        input: (Input, Vec<OwnedFd>),
    ) -> io::Result<Self> {
        let timeout = exchange.timeout;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let channel = Arc::new(channel);
        let to = Arc::clone(&channel);
        let sending = Sending::start(to, input, exchange.half_close, exchange.max_message)?;
        Ok(Self {
            exchange,
            channel,
            sending,
            deadline,
        })
    }

    /// Runs until both directions have ended or the peer has closed the connection.
    pub(super) fn run(self, output: &mut Output<'_>) -> anyhow::Result<()> {
        let exchange = self.exchange;
        if self.receive(output)? == WaitOutcome::ReaderGone
            || self.finish_sending()? == WaitOutcome::ReaderGone
        {
            self.abandon(output)?;
        }
        output.is_asked = self.channel.has_sent();
        match self.sending.result()? {
            Ok(()) => Ok(()),
            Err(Unsent::Output(SendError::Io(error))) => Err(exchange.broken(&error)),
            Err(Unsent::Output(error)) => Err(exchange.unsendable(&error)),
            // Standard input and output are one socket: if its peer hangs up, nobody reads either.
            Err(Unsent::Input(error))
                if error.kind() == ErrorKind::ConnectionReset && one_socket().is_some() =>
            {
                Err(by_signal(Signal::PIPE))
            }
            Err(Unsent::Input(error)) => Err(exchange.unread(&error)),
        }
    }

    /// Prints answers until there are no more to wait for.
    fn receive(&self, output: &mut Output<'_>) -> anyhow::Result<WaitOutcome> {
        let mut buffer = vec![
            0;
            if self.channel.has_records() {
                self.exchange.max_message
            } else {
                BUFFER
            }
        ];
        let mut busy = BusyPoll::new(self.exchange.busy_poll);
        let mut reset = None;
        loop {
            busy.wait(&*self.channel)?;
            match self.next()? {
                WaitOutcome::Ready => {}
                other => return Ok(other),
            }
            match self.channel.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(pieces)) => {
                    for piece in pieces {
                        output.write(piece)?;
                    }
                }
                // A seqpacket socket reports the reset before the records that are queued.
                Err(RecvError::Io(error))
                    if error.kind() == ErrorKind::ConnectionReset
                        && self.exchange.answers == AwaitedAnswers::ToTheEnd
                        && reset.is_none() =>
                {
                    reset = Some(error);
                    continue;
                }
                Err(RecvError::Io(error)) => return Err(self.exchange.broken(&error)),
                Err(error) => return Err(self.exchange.refused(&error)),
            }
            if self.exchange.answers == AwaitedAnswers::One {
                break;
            }
        }
        if let Some(error) = reset {
            return Err(self.exchange.broken(&error));
        }
        output.end()?;
        Ok(WaitOutcome::End)
    }

    /// Waits for the end of the sending: the peer sends no more, but may still read.
    fn finish_sending(&self) -> anyhow::Result<WaitOutcome> {
        while !self.sending.has_ended()? {
            if !has_hung_up(self.channel.as_fd())? {
                if self.wait(PollFlags::empty(), true)? == WaitOutcome::ReaderGone {
                    return Ok(WaitOutcome::ReaderGone);
                }
            } else if self.exchange.whole_input {
                if !self.sending.ends_within(GRACE)? {
                    return Err(self.exchange.unsent());
                }
            } else if self.sending.is_idle()? {
                break;
            }
        }
        Ok(WaitOutcome::End)
    }

    /// Ends as SIGPIPE would, since the reader is gone. The rest of the input is sent first, for a short
    /// time: a client may hang up right after its request.
    fn abandon(&self, output: &Output<'_>) -> anyhow::Result<()> {
        let patience = match (&output.relay, self.sending.from_stdin) {
            (Some(_), _) => self.exchange.target.connect_timeout(),
            (None, false) => GRACE,
            (None, true) => Duration::ZERO,
        };
        let is_sent = self.sending.ends_within(patience)?;
        if is_sent && output.relay.is_some() {
            Ok(())
        } else {
            Err(by_signal(Signal::PIPE))
        }
    }

    fn next(&self) -> anyhow::Result<WaitOutcome> {
        match self.exchange.answers {
            AwaitedAnswers::ToTheEnd | AwaitedAnswers::One => self.wait(PollFlags::IN, false),
            AwaitedAnswers::None => Ok(WaitOutcome::End),
            AwaitedAnswers::UntilQuiet(time) => {
                if self.wait(PollFlags::IN, true)? == WaitOutcome::ReaderGone {
                    return Ok(WaitOutcome::ReaderGone);
                }
                if is_readable(self.channel.as_fd())? {
                    return Ok(WaitOutcome::Ready);
                }
                self.poll(PollFlags::IN, false, Some(time))
            }
        }
    }

    /// Waits for the socket, with `until_sent` also for the end of the sending.
    fn wait(&self, flags: PollFlags, until_sent: bool) -> anyhow::Result<WaitOutcome> {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()));
        match self.poll(flags, until_sent, left)? {
            WaitOutcome::End if self.exchange.target.address.kind() != Kind::Datagram => {
                Err(self.exchange.unanswered(&self.channel))
            }
            WaitOutcome::End if self.sending.has_ended()? => {
                Err(self.exchange.unanswered(&self.channel))
            }
            WaitOutcome::End => {
                let time = self.exchange.timeout.unwrap_or_default();
                Err(self.exchange.queue_full(time, "--timeout"))
            }
            other => Ok(other),
        }
    }

    /// [`WaitOutcome::End`] where nothing happens in `time`.
    fn poll(
        &self,
        flags: PollFlags,
        until_sent: bool,
        time: Option<Duration>,
    ) -> anyhow::Result<WaitOutcome> {
        let end = time.and_then(|time| Instant::now().checked_add(time));
        let stdout = io::stdout();
        loop {
            let mut fds = vec![PollFd::new(&*self.channel, flags)];
            if until_sent {
                fds.push(PollFd::new(&self.sending, PollFlags::IN));
            }
            // poll(2) reports POLLERR and POLLHUP without being asked.
            if self.exchange.answers != AwaitedAnswers::None {
                fds.push(PollFd::new(&stdout, PollFlags::empty()));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            // A timeout that is too long for the kernel is no timeout.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(WaitOutcome::End),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            let is_over = match fds.last() {
                Some(last) if self.exchange.answers != AwaitedAnswers::None => {
                    !last.revents().is_empty()
                }
                _ => false,
            };
            return Ok(if is_over {
                WaitOutcome::ReaderGone
            } else {
                WaitOutcome::Ready
            });
        }
    }
}
