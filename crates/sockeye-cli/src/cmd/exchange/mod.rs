//! Standard input to a socket and back, both at once.

mod channel;
mod closed_fds;
mod conversation;
mod failures;
mod file_systems;
mod namespace;
mod output;
mod pieces;
mod pollable_thread;
mod sending;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use sockeye::packet::BlockingDatagram;
use sockeye::{Address, Claim, Connector, Kind};

use crate::args::ConnectTarget;
use crate::cmd::waiting;
use crate::exit::{Exit, by_signal};
use channel::Channel;
use conversation::Conversation;
pub(crate) use file_systems::check_file_systems;
use namespace::out_of_reach;
pub(crate) use output::AnswerFormat;
use output::Output;

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
pub(crate) enum AwaitedAnswers {
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
    pub(crate) target: &'a ConnectTarget,
    /// The address to be answered at, where the kernel is not to choose one.
    pub(crate) local: Option<Address>,
    /// Half-close at the end of the input.
    pub(crate) half_close: bool,
    /// The time for all of it.
    pub(crate) timeout: Option<Duration>,
    /// An input that has not ended when the peer has closed is an error: the rest would be lost.
    pub(crate) whole_input: bool,
    pub(crate) answers: AwaitedAnswers,
    /// The longest record that is taken.
    pub(crate) max_message: usize,
    /// How long to poll before sleeping.
    pub(crate) busy_poll: Duration,
    /// How answers are printed.
    pub(crate) form: AnswerFormat,
    /// Pass file descriptors on where standard input and output are one socket.
    pub(crate) may_relay: bool,
}

/// How an exchange ended.
pub(crate) struct ExchangeOutcome {
    pub(crate) exit: Exit,
    /// Whether anything came back, if anything was sent.
    pub(crate) is_answered: bool,
}

impl Exchange<'_> {
    /// Connects, sends the input with `descriptors`, and prints what comes.
    pub(crate) fn run(
        &self,
        input: Input,
        descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<ExchangeOutcome> {
        let address = &self.target.address;
        let (input, kind) = ((input, descriptors), address.kind());
        match kind {
            Kind::Stream => {
                let stream = self.connect(|connector, to| Ok(connector.connect_blocking(to)?))?;
                self.talk(Channel::of(&stream, kind)?, input)
            }
            Kind::SeqPacket => {
                let socket =
                    self.connect(|connector, to| Ok(connector.connect_seqpacket_blocking(to)?))?;
                self.talk(Channel::of(&socket, kind)?, input)
            }
            Kind::Datagram => {
                let has_address = self.local.is_some();
                let socket = self.connect(move |connector, to| {
                    let socket = match has_address {
                        true => BlockingDatagram::unbound()?,
                        false => BlockingDatagram::unclaimed()?,
                    };
                    connector.connect_datagram_blocking(&socket, to)?;
                    Ok(socket)
                })?;
                let socket = match &self.local {
                    // The mode is for a server of another user; connected, it hears nobody else.
                    Some(local) => socket.bind(&Claim::options().mode(0o666), local)?,
                    None => socket,
                };
                socket.set_send_timeout(Some(self.target.connect_timeout()))?;
                let mut ended = self.talk(Channel::of(&socket, kind)?, input)?;
                // Whether one was waited for is not known.
                if !ended.is_answered
                    && matches!(self.answers, AwaitedAnswers::UntilQuiet(_))
                    && let Some(why) = out_of_reach(&socket, self.local.as_ref())
                {
                    crate::stdio::complain(&format!("{}: no answer came: {why}", address.quoted()));
                    ended.exit = Exit::Incomplete;
                }
                Ok(ended)
            }
        }
    }

    /// Says that nothing came back, where a connection has ended so. A relay passes that on.
    pub(crate) fn remark(&self, ended: &ExchangeOutcome) {
        let is_relay = self.may_relay && output::one_socket().is_some();
        if ended.is_answered || is_relay || self.answers != AwaitedAnswers::ToTheEnd {
            return;
        }
        let half_close = match self.half_close {
            true => "; some take a half-close for a hang-up: --no-shutdown",
            false => "",
        };
        crate::stdio::complain(&format!(
            "{}: the server closed without an answer; its log says whether it refused the message{half_close}",
            self.target.address.quoted()
        ));
    }

    /// Connects with `attempt`. Once nobody reads standard output any more, a server that is not there
    /// is no longer waited for.
    fn connect<T: Send + 'static>(
        &self,
        attempt: impl Fn(&Connector, &Address) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        // The client of a relay may have sent its request and gone; it is passed on all the same.
        let is_relay = self.may_relay && output::one_socket().is_some();
        let is_read = !is_relay && self.answers != AwaitedAnswers::None;
        let address = self.target.address.clone();
        waiting::connect(
            self.target.connector(),
            move |connector| attempt(connector, &address),
            || match is_read && has_hung_up(io::stdout().as_fd())? {
                true => Err(by_signal(Signal::PIPE)),
                false => Ok(()),
            },
        )
    }

    fn talk(
        &self,
        channel: Channel,
        input: (Input, Vec<OwnedFd>),
    ) -> anyhow::Result<ExchangeOutcome> {
        let relay = match self.may_relay {
            true => output::one_socket(),
            false => None,
        };
        let channel = match &relay {
            Some(_) => channel.relaying(),
            None => channel,
        };
        let mut output = Output::new(&self.target.address, self.form, relay);
        let ended = Conversation::begin(self, channel, input)?.run(&mut output);
        // It is to be told of even after a failure.
        let exit = output.complete();
        ended?;
        Ok(ExchangeOutcome {
            exit,
            is_answered: output.is_used || !output.is_asked,
        })
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
