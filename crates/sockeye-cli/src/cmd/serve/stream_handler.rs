//! Stream connections: messages and their replies, or an echo.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf, Bytes};
use sockeye::framing::FramingError;
use sockeye::server::{Connection, Messages, echo};

use super::handler::Handler;
use super::recv_errors::{is_idle_timeout, limit_of};
use crate::args::ReplyMode;
use crate::cmd::listening::received_fds::ReceivedFds;
use crate::output;
use crate::output::message::ShownMessage;

/// Most connections are idle most of the time, so what they do not need then is kept out of this
/// future: the connection as it came, and the work for a message.
pub(super) fn handle(
    handler: Arc<Handler>,
    connection: Connection,
) -> impl Future<Output = ()> + Send + 'static {
    let mut talk = match handler.reply_mode {
        ReplyMode::Echo => Talk::Echo(connection),
        _ => {
            let messages = Messages::new(connection, handler.framing, handler.max_message);
            Talk::Messages(if handler.allows_fd_passing {
                messages.receive_descriptors()
            } else {
                messages
            })
        }
    };
    async move {
        match &mut talk {
            Talk::Echo(connection) => {
                if let Err(error) = echo(connection).await {
                    let peer = || connection.peer().ok();
                    match limit_of(&error) {
                        Some(_) => handler.log.tell_limit(peer, &error, 0),
                        None => handler.log.tell_loss(peer, &error.into()),
                    }
                }
            }
            Talk::Messages(messages) => {
                if let Err(error) = converse(&handler, messages).await {
                    explain(&handler, &error, messages);
                }
            }
        }
    }
}

async fn converse(handler: &Handler, messages: &mut Messages) -> Result<(), FramingError> {
    let mut sender = None;
    let mut listens = true;
    loop {
        // Not in a loop's head: that would keep the message, moved as it is, until its end.
        let Some(message) = messages.next().await? else {
            return Ok(());
        };
        let sender =
            sender.get_or_insert_with(|| handler.output.sender(messages.connection().peer().ok()));
        let descriptors = ReceivedFds(messages.descriptors());
        let line = handler.output.line(
            &ShownMessage {
                payload: &message.payload,
                size: message.size,
                descriptors: &descriptors.0,
            },
            sender,
        );
        // They may take much memory, and the output may be slow.
        drop((message, descriptors));
        let mut print = Box::pin(handler.output.print(line, sender));
        let printed = match poll_fn(|cx| Poll::Ready(print.as_mut().poll(cx))).await {
            Poll::Ready(printed) => printed,
            Poll::Pending => {
                messages.shrink();
                print.await
            }
        };
        if !printed {
            messages.mark_aborted();
            return Ok(());
        }
        if listens && !handler.framed_reply.is_empty() {
            let sent = match send(messages, handler.framed_reply.clone()) {
                Sent::Done(sent) => sent,
                Sent::Rest(rest) => rest.await,
            };
            if let Err(error) = &sent
                && is_idle_timeout(error)
            {
                handler
                    .log
                    .tell_unread_reply(|| messages.connection().peer().ok());
                return Ok(());
            }
            listens = takes_answers(sent)?;
        }
    }
}

/// Says why a connection ended before its time.
fn explain(handler: &Handler, error: &FramingError, messages: &Messages) {
    let peer = || messages.connection().peer().ok();
    let text = match error {
        FramingError::TooLong { limit } => format!(
            "a message of more than {limit} bytes; its connection is closed, --max-message allows longer ones"
        ),
        FramingError::Incomplete { got } => {
            format!(
                "{} of a message and then EOF; it is not answered",
                output::bytes(*got)
            )
        }
        FramingError::Io(error) if limit_of(error).is_some() => {
            return handler
                .log
                .tell_limit(peer, error, messages.incomplete_bytes());
        }
        FramingError::Io(error) if is_idle_timeout(error) && messages.incomplete_bytes() > 0 => {
            format!(
                "{} of a message and then nothing until the idle timeout; its connection is closed",
                output::bytes(messages.incomplete_bytes())
            )
        }
        error => return handler.log.tell_loss(peer, error),
    };
    handler.log.complain(peer, &format!("sent {text}"));
}

/// A connection: its bytes for --echo, its messages otherwise.
enum Talk {
    Echo(Connection),
    Messages(Messages),
}

/// How far a reply has been sent.
enum Sent<'a> {
    Done(io::Result<()>),
    /// The peer is slow; the rest goes in a future that not every task has room for.
    Rest(Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>),
}

fn send(messages: &mut Messages, mut wire: Bytes) -> Sent<'_> {
    match messages.send_now(&wire) {
        Ok(sent) if sent < wire.len() => {
            wire.advance(sent);
            Sent::Rest(Box::pin(async move { messages.send_raw(&wire).await }))
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
