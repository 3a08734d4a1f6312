//! [`Handler`]: what is done with what comes.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use sockeye::Peer;
use sockeye::framing::{Framing, FramingError};
use sockeye::server::{Connection, LimitError, Messages, echo};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::received_fds::ReceivedFds;
use super::seqpacket_handler::describe_recv_error;
use super::startup::cannot_start;
use super::undelivered::Undelivered;
use crate::args::{Answer, Serve};
use crate::lookup::names::Names;
use crate::output;
use crate::output::message::{self, Sender, ShownMessage};
use crate::stdio;
use crate::stdio::lines::Lines;
use crate::stdio::log::Throttle;

pub(super) struct Handler {
    lines: Option<Lines>,
    names: Names,
    json: bool,
    framing: Framing,
    takes_descriptors: bool,
    pub(super) max_message: usize,
    /// What may wait for those who do not take it.
    pub(super) max_buffered: usize,
    answer: Answer,
    /// The reply as it goes over a stream.
    framed: Bytes,
    throttle: Throttle,
    pub(super) undelivered: Undelivered,
    /// Begins the shutdown.
    pub(super) stop: CancellationToken,
    pub(super) output_error: OnceLock<io::Error>,
    /// That nobody reads the output any more was said.
    is_abandoned: OnceLock<()>,
    drain: Duration,
}

impl Handler {
    pub(super) fn new(args: &Serve, stop: &CancellationToken) -> anyhow::Result<Self> {
        let framing = Framing::from(args.framing());
        let answer = args.answer();
        let framed = match &answer {
            Answer::Reply(text) if framing == Framing::Length => framing.encode(text.as_bytes())?,
            Answer::Reply(text) => Bytes::from(format!("{text}\n")),
            Answer::Echo | Answer::Discard => Bytes::new(),
        };
        let lines = match answer {
            Answer::Echo => None,
            _ if !args.program.is_empty() => None,
            _ => Some(
                Lines::stdout(args.max_buffered()).map_err(|error| cannot_start(args, &error))?,
            ),
        };
        Ok(Self {
            lines,
            names: Names::new(),
            json: args.json,
            framing,
            takes_descriptors: args.fds,
            max_message: args.max_message,
            max_buffered: args.max_buffered(),
            answer,
            framed,
            throttle: Throttle::new(),
            undelivered: Undelivered::default(),
            stop: stop.clone(),
            output_error: OnceLock::new(),
            is_abandoned: OnceLock::new(),
            drain: args.drain,
        })
    }

    /// What a record is answered with.
    pub(super) fn answer_to<'a>(&'a self, record: &'a [u8]) -> Option<&'a [u8]> {
        match &self.answer {
            Answer::Reply(text) => Some(text.as_bytes()),
            Answer::Echo => Some(record),
            Answer::Discard => None,
        }
    }

    /// Most connections are idle most of the time, so what they do not need then is kept out of this
    /// future: the connection as it came, and the work for a message.
    pub(super) fn handle(
        self: Arc<Self>,
        connection: Connection,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut talk = match self.answer {
            Answer::Echo => Talk::Echo(connection),
            _ => {
                let messages = Messages::new(connection, self.framing, self.max_message);
                Talk::Messages(match self.takes_descriptors {
                    true => messages.take_descriptors(),
                    false => messages,
                })
            }
        };
        async move {
            match &mut talk {
                Talk::Echo(connection) => {
                    if let Err(error) = echo(connection).await {
                        let peer = || connection.peer().ok();
                        match limit(&error) {
                            Some(_) => self.tell_limit(peer, &error, 0),
                            None => self.tell_loss(peer, &error.into()),
                        }
                    }
                }
                Talk::Messages(messages) => {
                    if let Err(error) = self.converse(messages).await {
                        self.explain(&error, messages);
                    }
                }
            }
        }
    }

    /// Says why a connection ended before its time.
    fn explain(&self, error: &FramingError, messages: &Messages) {
        let peer = || messages.connection().peer().ok();
        let text = match error {
            FramingError::TooLong { limit } => format!(
                "a message of more than {limit} bytes; its connection is closed, --max-message allows longer ones"
            ),
            FramingError::Incomplete { got } => {
                format!(
                    "{} of a message and then the end; it is not answered",
                    output::bytes(*got)
                )
            }
            FramingError::Io(error) if limit(error).is_some() => {
                return self.tell_limit(peer, error, messages.begun());
            }
            FramingError::Io(error)
                if error.kind() == ErrorKind::TimedOut && messages.begun() > 0 =>
            {
                format!(
                    "{} of a message and then nothing; its connection is closed, it was not answered",
                    output::bytes(messages.begun())
                )
            }
            error => return self.tell_loss(peer, error),
        };
        self.complain(peer, &format!("sent {text}"));
    }

    /// Says which limit of the server has ended a connection, of whose message so many bytes came.
    pub(super) fn tell_limit(
        &self,
        peer: impl FnOnce() -> Option<Peer>,
        error: &io::Error,
        begun: usize,
    ) {
        let text = match limit(error) {
            Some(LimitError::Buffered { held, limit }) => format!(
                "holds most of what waits, {held} bytes, and all together exceed {limit} (--max-buffered)"
            ),
            Some(LimitError::Descriptors { held, limit }) => format!(
                "holds most file descriptors of unfinished messages, {held}, and all together exceed {limit}"
            ),
            Some(LimitError::MessageTimeout { limit }) => format!(
                "sent {} of a message and not its end within {} (--message-timeout)",
                output::bytes(begun),
                output::duration(*limit)
            ),
            _ => return,
        };
        self.complain(peer, &format!("{text}; its connection is closed"));
    }

    /// As [`Self::tell_end`], of descriptors that could not be taken too.
    fn tell_loss(&self, peer: impl FnOnce() -> Option<Peer>, error: &FramingError) {
        let why = match error {
            FramingError::Io(error) => error.get_ref().and_then(|why| why.downcast_ref()),
            _ => None,
        };
        match why.and_then(describe_recv_error) {
            Some(lost) => self.complain(peer, &format!("{lost}; its connection is closed")),
            None => self.tell_end(peer, error),
        }
    }

    /// That the peer is gone or silent is for those who ask; anything else has gone wrong here.
    fn tell_end(&self, peer: impl FnOnce() -> Option<Peer>, error: &FramingError) {
        use ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
        match error {
            FramingError::Io(error)
                if !matches!(error.kind(), BrokenPipe | ConnectionReset | TimedOut) =>
            {
                self.complain(peer, &format!("lost its connection: {error}"));
            }
            _ => {
                let sender = Sender::new(peer());
                debug!("the connection of {} ended: {error}", sender.describe());
            }
        }
    }

    /// Writes a line about a client to the log, unless there are too many of them.
    pub(super) fn complain(&self, peer: impl FnOnce() -> Option<Peer>, text: &str) {
        if let Some(withheld) = self.throttle.pass() {
            tell_withheld(withheld);
            warn!("{} {text}", Sender::new(peer()).describe());
        }
    }

    /// Tells of lines that [`Self::complain`] has kept back.
    pub(super) fn tell_rest(&self) {
        tell_withheld(self.throttle.rest());
    }

    async fn converse(&self, messages: &mut Messages) -> Result<(), FramingError> {
        let mut sender = None;
        let mut listens = true;
        loop {
            // Not in a loop's head: that would keep the message, moved as it is, until its end.
            let Some(message) = messages.next().await? else {
                return Ok(());
            };
            let sender =
                sender.get_or_insert_with(|| self.sender(messages.connection().peer().ok()));
            let descriptors = ReceivedFds(messages.descriptors());
            let line = self.line(
                &ShownMessage {
                    payload: &message.payload,
                    size: message.size,
                    descriptors: &descriptors.0,
                },
                sender,
            );
            // They may be much, and the output slow.
            drop((message, descriptors));
            let mut print = Box::pin(self.print(line, sender));
            let printed = match poll_fn(|cx| Poll::Ready(print.as_mut().poll(cx))).await {
                Poll::Ready(printed) => printed,
                Poll::Pending => {
                    messages.shrink();
                    print.await
                }
            };
            if !printed {
                messages.set_broken();
                return Ok(());
            }
            if listens && !self.framed.is_empty() {
                listens = match send(messages, self.framed.clone()) {
                    Sent::Done(sent) => takes_answers(sent)?,
                    Sent::Rest(rest) => takes_answers(rest.await)?,
                };
            }
        }
    }

    /// Whether anything is printed. If not, nobody need be looked up for it.
    pub(super) fn shows(&self) -> bool {
        self.lines.is_some()
    }

    /// Whose message is to be shown.
    pub(super) fn sender(&self, peer: Option<Peer>) -> Sender {
        Sender::known_by(&self.names, peer)
    }

    /// Prints what came, as [`Self::print`] does.
    pub(super) async fn show(&self, received: &ShownMessage<'_>, sender: &Sender) -> bool {
        let line = self.line(received, sender);
        self.print(line, sender).await
    }

    pub(super) fn line(&self, received: &ShownMessage<'_>, sender: &Sender) -> io::Result<Vec<u8>> {
        match (&self.lines, self.json) {
            (None, _) => Ok(Vec::new()),
            (_, true) => Ok(message::as_json(received, sender)?),
            (_, false) => Ok(message::as_text(received, sender)),
        }
    }

    /// Prints a line; if that fails for good, the server stops: its work could not be seen. `false`
    /// where the message is not to be answered: the line cannot be written, or standard output is
    /// not read, and too much waits for it already.
    pub(super) async fn print(&self, line: io::Result<Vec<u8>>, sender: &Sender) -> bool {
        let Some(lines) = &self.lines else {
            return true;
        };
        let written = match line {
            Ok(line) => lines.write(&line).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(true) => true,
            Ok(false) => {
                let text = format!(
                    "sent a message that is lost: standard output is not read, and {} bytes wait for it (--max-buffered); its connection is closed",
                    self.max_buffered
                );
                self.complain(|| sender.peer(), &text);
                false
            }
            Err(error) => {
                let reader_gone = stdio::is_of_a_reader_gone(&error);
                match reader_gone {
                    true => self.abandon(),
                    false if self.output_error.get().is_some() => {}
                    false => error!("cannot write to standard output: {error}; stopping"),
                }
                let _ = self.output_error.set(error);
                self.stop.cancel();
                // A drain answers what has begun, whether or not somebody looks on. But what should
                // have been kept, in a file, and was not, is not acknowledged.
                reader_gone
            }
        }
    }

    /// Stops once nobody reads the output any more: what is done could not be seen.
    pub(super) async fn watch_output(self: Arc<Self>) {
        if let Some(lines) = &self.lines
            && lines.reader_gone().await.is_ok()
        {
            self.abandon();
            self.stop.cancel();
        }
    }

    fn abandon(&self) {
        if self.is_abandoned.set(()).is_ok() {
            let drain = output::duration(self.drain);
            error!(
                "nobody reads standard output any more: no newcomers, draining for at most {drain}"
            );
        }
    }
}

/// The limit of the server that has ended a connection, if one has.
pub(super) fn limit(error: &io::Error) -> Option<&LimitError> {
    error.get_ref()?.downcast_ref()
}

fn tell_withheld(withheld: u64) {
    if withheld > 0 {
        warn!("{withheld} more lines of this kind were withheld");
    }
}

/// What goes on on a connection.
enum Talk {
    Echo(Connection),
    Messages(Messages),
}

/// What became of an answer.
enum Sent<'a> {
    Done(io::Result<()>),
    /// The peer is slow; the rest goes in a future that not every task has room for.
    Rest(Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>),
}

fn send(messages: &mut Messages, mut wire: Bytes) -> Sent<'_> {
    match messages.send_now(&wire) {
        Ok(sent) if sent < wire.len() => {
            wire.advance(sent);
            Sent::Rest(Box::pin(async move { messages.send(&wire).await }))
        }
        sent => Sent::Done(sent.map(|_| ())),
    }
}

/// Whether the peer is still there. If it has gone, what it sent before has come all the same.
fn takes_answers(sent: io::Result<()>) -> Result<bool, FramingError> {
    match sent {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
