//! Standard input to a socket and back, both at once.

mod channel;
mod sending;

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sockeye::ancillary::{RecvError, SendError};
use sockeye::packet::BlockingDatagram;
use sockeye::{Address, BusyPoll, Claim, Kind};

use crate::args::ConnectTarget as Target;
use crate::exit::{Exit, failure};
use crate::output;
use channel::Channel;
use sending::Sending;

/// What one read of a stream takes at most.
const BUFFER: usize = 64 * 1024;
/// How long the input may take to end after the peer has closed.
const GRACE: Duration = Duration::from_secs(1);

/// What to send.
pub(crate) enum Input {
    /// These bytes; they are one record.
    Bytes(Vec<u8>),
    /// Standard input to its end; each line is a record.
    Stdin,
}

/// When all answers have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// When the peer says so.
    ToTheEnd,
    /// None is waited for.
    None,
    /// With the first.
    One,
    /// When none has come for so long after the end of the input.
    UntilQuiet(Duration),
}

pub(crate) struct Exchange<'a> {
    pub(crate) target: &'a Target,
    /// The address to be answered at, where the kernel is not to choose one.
    pub(crate) local: Option<Address>,
    /// Half-close at the end of the input.
    pub(crate) half_close: bool,
    /// The time for all of it.
    pub(crate) timeout: Option<Duration>,
    /// An input that has not ended when the peer has closed is an error: the rest would be lost.
    pub(crate) whole_input: bool,
    pub(crate) answers: Answers,
    /// The longest record that is taken.
    pub(crate) max_message: usize,
    /// How long to poll before sleeping.
    pub(crate) busy_poll: Duration,
}

impl Exchange<'_> {
    /// Connects, sends the input with `descriptors`, and gives to `receive` what comes.
    pub(crate) fn run(
        &self,
        input: Input,
        descriptors: Vec<OwnedFd>,
        receive: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (address, connector) = (&self.target.address, self.target.connector());
        let (input, kind) = ((input, descriptors), address.kind());
        match kind {
            Kind::Stream => {
                let stream = connector.connect_blocking(address)?;
                self.talk(Channel::of(&stream, kind)?, input, receive)
            }
            Kind::SeqPacket => {
                let socket = connector.connect_seqpacket_blocking(address)?;
                self.talk(Channel::of(&socket, kind)?, input, receive)
            }
            Kind::Datagram => {
                let socket = match &self.local {
                    Some(local) => {
                        let claim = Claim::options().claim(local)?;
                        BlockingDatagram::from_claim(claim)?
                    }
                    None => BlockingDatagram::unclaimed()?,
                };
                connector.connect_datagram_blocking(&socket, address)?;
                socket.set_send_timeout(Some(self.target.connect_timeout()))?;
                self.talk(Channel::of(&socket, kind)?, input, receive)
            }
        }
    }

    /// Sends and receives until both directions have ended or the peer has closed the connection.
    fn talk(
        &self,
        channel: Channel,
        (input, descriptors): (Input, Vec<OwnedFd>),
        mut receive: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let deadline = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let channel = Arc::new(channel);
        let sending = Sending::start(Arc::clone(&channel), input, descriptors, self.half_close)?;
        let mut buffer = vec![
            0;
            if channel.has_records() {
                self.max_message
            } else {
                BUFFER
            }
        ];
        let mut busy = BusyPoll::new(self.busy_poll);
        loop {
            busy.wait(&*channel)?;
            if !self.has_more(&channel, &sending, deadline)? {
                break;
            }
            match channel.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(count)) => receive(&buffer[..count])?,
                Err(RecvError::Io(error)) => return Err(self.broken(&error)),
                Err(error) => return Err(self.refused(&error)),
            }
            if self.answers == Answers::One {
                break;
            }
        }
        // The peer sends no more; it may still read.
        while !sending.has_ended()? {
            if !has_hung_up(channel.as_fd())? {
                let mut fds = [
                    PollFd::new(&*channel, PollFlags::empty()),
                    PollFd::new(&sending.ended, PollFlags::IN),
                ];
                self.wait(deadline, &mut fds, &sending)?;
            } else if self.whole_input {
                if !sending.ends_within(GRACE)? {
                    return Err(self.unsent());
                }
            } else if sending.is_idle()? {
                break;
            }
        }
        match sending.result()? {
            Ok(()) => Ok(()),
            Err(SendError::Io(error)) => Err(self.broken(&error)),
            Err(error) => Err(self.unsendable(&error)),
        }
    }

    /// Waits for something to receive; `false` where no more is to be waited for.
    fn has_more(
        &self,
        channel: &Channel,
        sending: &Sending,
        deadline: Option<Instant>,
    ) -> anyhow::Result<bool> {
        match self.answers {
            Answers::ToTheEnd | Answers::One => {
                let mut fds = [PollFd::new(channel, PollFlags::IN)];
                self.wait(deadline, &mut fds, sending)?;
                Ok(true)
            }
            Answers::None => Ok(false),
            Answers::UntilQuiet(time) => {
                let mut fds = [
                    PollFd::new(channel, PollFlags::IN),
                    PollFd::new(&sending.ended, PollFlags::IN),
                ];
                self.wait(deadline, &mut fds, sending)?;
                if !fds[0].revents().is_empty() {
                    return Ok(true);
                }
                let time = Timespec::try_from(time).map_err(io::Error::other)?;
                Ok(poll(&mut fds[..1], Some(&time))? > 0)
            }
        }
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        fds: &mut [PollFd<'_>],
        sending: &Sending,
    ) -> anyhow::Result<()> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // A time too long for the kernel is as good as none.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(fds, left.as_ref()) {
                Ok(0) => {
                    let time = self.timeout.unwrap_or_default();
                    if self.target.address.kind() == Kind::Datagram && !sending.has_ended()? {
                        return Err(self.queue_full(time, "--timeout"));
                    }
                    let address = &self.target.address;
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

    fn queue_full(&self, time: Duration, option: &str) -> anyhow::Error {
        let address = &self.target.address;
        failure(
            Exit::TimedOut,
            format!(
                "cannot send to {address}: its queue stayed full for {time:?}; wait longer with {option}, or look at what keeps the server busy"
            ),
        )
    }

    fn unsent(&self) -> anyhow::Error {
        let address = &self.target.address;
        failure(
            Exit::Failed,
            format!(
                "cannot finish with {address}: the server closed the connection before the end of the input; end the input, or look at the server"
            ),
        )
    }

    fn unsendable(&self, error: &SendError) -> anyhow::Error {
        let address = &self.target.address;
        failure(Exit::Failed, format!("cannot send to {address}: {error}"))
    }

    fn refused(&self, error: &RecvError) -> anyhow::Error {
        let address = &self.target.address;
        let advice = match error {
            RecvError::TooLong { .. } => "; --max-message allows longer ones",
            _ => "",
        };
        failure(
            Exit::Failed,
            format!("cannot read the answer of {address}: {error}{advice}"),
        )
    }

    fn broken(&self, error: &io::Error) -> anyhow::Error {
        let address = &self.target.address;
        let text = match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => format!(
                "cannot finish with {address}: the server closed the connection before it had read everything; look at its log"
            ),
            // A datagram's receiver has no room (socket(7), SO_SNDTIMEO).
            ErrorKind::WouldBlock => {
                let time = self.target.connect_timeout();
                return self.queue_full(time, "--connect-timeout");
            }
            ErrorKind::ConnectionRefused => {
                format!("cannot send to {address}: the server has gone; start it again")
            }
            _ => format!("cannot finish with {address}: {error}"),
        };
        failure(Exit::Failed, text)
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

/// Prints a line for a record.
pub(crate) fn print_line(record: &[u8]) -> anyhow::Result<()> {
    let mut line = record.to_vec();
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    output::print(&line)
}
