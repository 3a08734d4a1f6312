//! The client of `send` and `connect`: standard input to a socket, and answers to standard output, both
//! at once.

mod channel;
mod conversation;
mod failures;
mod file_systems;
mod namespace;
mod numbers;
mod output;
mod pieces;
mod pollable_thread;
mod sending;
mod unpassed_fds;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::Signal;
use sockeye::packet::BlockingDatagram;
use sockeye::{Address, Claim, Connector, Kind};

use crate::args::ConnectTarget;
use crate::cmd::save_directory::SaveDirectory;
use crate::cmd::waiting;
use crate::exit::{Exit, by_signal};
use channel::Channel;
use conversation::Conversation;
pub(crate) use file_systems::check_file_systems;
use namespace::out_of_reach;
pub(crate) use output::AnswerFormat;
use output::Output;
use unpassed_fds::UnpassedFds;

/// Bytes of a stream that one read takes at most.
const BUFFER: usize = 64 * 1024;
/// How long the input may take to end after the peer has closed the connection.
const GRACE: Duration = Duration::from_secs(1);

/// What to send.
pub(crate) enum Input {
    /// These bytes; they are one record.
    Bytes(Vec<u8>),
    /// Standard input to its end; each line is a record.
    Stdin,
}

/// Which answers to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AwaitedAnswers {
    /// All, until EOF.
    ToTheEnd,
    /// None.
    None,
    /// The first.
    One,
    /// All, until none has come for so long after the end of the input.
    UntilQuiet(Duration),
}

pub(crate) struct Exchange<'a> {
    pub(crate) target: &'a ConnectTarget,
    /// The address of the client's datagram socket, unless the kernel chooses one.
    pub(crate) local: Option<Address>,
    /// Half-close at the end of the input.
    pub(crate) half_close: bool,
    /// The timeout of the whole exchange.
    pub(crate) timeout: Option<Duration>,
    /// It is an error if the peer closes before the end of the input: the rest would be lost.
    pub(crate) whole_input: bool,
    pub(crate) answers: AwaitedAnswers,
    /// The longest record that is sent or received.
    pub(crate) max_message: usize,
    /// How long to busy-poll before sleeping.
    pub(crate) busy_poll: Duration,
    /// How answers are printed.
    pub(crate) form: AnswerFormat,
    /// Pass fds on if standard input and output are one socket.
    pub(crate) may_relay: bool,
}

/// How an exchange ended.
pub(crate) struct ExchangeOutcome {
    pub(crate) exit: Exit,
    /// Whether an answer came, or nothing was sent.
    pub(crate) is_answered: bool,
}

impl Exchange<'_> {
    /// Connects, sends the input with `descriptors`, and prints the answers. Saves received fds, if that
    /// is asked for.
    pub(crate) fn run(
        &self,
        input: Input,
        descriptors: Vec<OwnedFd>,
        save: Option<SaveDirectory>,
    ) -> anyhow::Result<ExchangeOutcome> {
        let address = &self.target.address;
        let (input, kind) = ((input, descriptors, save), address.kind());
        match kind {
            Kind::Stream => {
                let stream = self.connect(|connector, to| Ok(connector.connect_blocking(to)?))?;
                self.converse(Channel::of(&stream, kind)?, input)
            }
            Kind::SeqPacket => {
                let socket =
                    self.connect(|connector, to| Ok(connector.connect_seqpacket_blocking(to)?))?;
                self.converse(Channel::of(&socket, kind)?, input)
            }
            Kind::Datagram => {
                let has_address = self.local.is_some();
                let socket = self.connect(move |connector, to| {
                    let socket = if has_address {
                        BlockingDatagram::unbound()?
                    } else {
                        BlockingDatagram::unclaimed()?
                    };
                    connector.connect_datagram_blocking(&socket, to)?;
                    Ok(socket)
                })?;
                let socket = match &self.local {
                    // The mode is for a server of another user; connected, the socket receives from no
                    // one else.
                    Some(local) => socket.bind(&Claim::options().mode(0o666), local)?,
                    None => socket,
                };
                socket.set_send_timeout(Some(self.target.connect_timeout()))?;
                let mut ended = self.converse(Channel::of(&socket, kind)?, input)?;
                // Whether the user expected an answer is not known.
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

    /// Says so if the server closed without an answer. A relay passes that on instead.
    pub(crate) fn remark(&self, ended: &ExchangeOutcome) {
        let is_relay = self.may_relay && output::one_socket().is_some();
        if ended.is_answered || is_relay || self.answers != AwaitedAnswers::ToTheEnd {
            return;
        }
        let half_close = if self.half_close {
            "; some take a half-close for a hang-up: --no-shutdown"
        } else {
            ""
        };
        crate::stdio::complain(&format!(
            "{}: the server closed without an answer; its log says whether it refused the message{half_close}",
            self.target.address.quoted()
        ));
    }

    /// Connects with `attempt`. Stops waiting for a server once the reader of standard output is gone.
    fn connect<T: Send + 'static>(
        &self,
        attempt: impl Fn(&Connector, &Address) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        // The client of a relay may be gone after its request, which is passed on all the same.
        let is_relay = self.may_relay && output::one_socket().is_some();
        let is_read = !is_relay && self.answers != AwaitedAnswers::None;
        let address = self.target.address.clone();
        waiting::connect(
            self.target.connector(),
            move |connector| attempt(connector, &address),
            || {
                if is_read && has_hung_up(io::stdout().as_fd())? {
                    Err(by_signal(Signal::PIPE))
                } else {
                    Ok(())
                }
            },
        )
    }

    fn converse(
        &self,
        channel: Channel,
        (input, descriptors, save): (Input, Vec<OwnedFd>, Option<SaveDirectory>),
    ) -> anyhow::Result<ExchangeOutcome> {
        let relay = if self.may_relay {
            output::one_socket()
        } else {
            None
        };
        let channel = match &relay {
            Some(_) => channel.relaying(),
            None => channel,
        };
        let conversation = Conversation::begin(self, channel, (input, descriptors))?;
        let received = UnpassedFds::new(&self.target.address, save, conversation.deadline);
        let mut output = Output::new(&self.target.address, self.form, relay, received);
        let ended = conversation.run(&mut output);
        // Reported even after a failure.
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
    retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))?;
    Ok(fds[0].revents())
}
