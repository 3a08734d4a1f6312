//! [`MessageOutput`]: a line on standard output for each message.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sockeye::Peer;
use sockeye::http::Caller;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::client_log::ClientLog;
use crate::args::{ReplyMode, Serve};
use crate::cmd::listening::failures::cannot_start;
use crate::lookup::names::Names;
use crate::output;
use crate::output::http_request::ShownRequest;
use crate::output::message::{self, MessageSender, ShownMessage};
use crate::stdio;
use crate::stdio::lines::StdoutLines;

pub(super) struct MessageOutput {
    /// `None` where nothing is printed: with --echo, or for programs.
    lines: Option<StdoutLines>,
    names: Names,
    json: bool,
    /// How many bytes may wait for the reader of standard output.
    max_buffered: usize,
    log: Arc<ClientLog>,
    /// Begins the shutdown.
    stop: CancellationToken,
    drain_timeout: Duration,
    /// Why standard output could not be written.
    pub(super) error: OnceLock<io::Error>,
    /// Set when the log says that nobody reads the output any more.
    is_abandoned: OnceLock<()>,
}

impl MessageOutput {
    pub(super) fn new(
        args: &Serve,
        stop: &CancellationToken,
        log: &Arc<ClientLog>,
    ) -> anyhow::Result<Self> {
        let lines = match args.reply_mode() {
            ReplyMode::Echo => None,
            _ if !args.program.is_empty() => None,
            _ => Some(
                StdoutLines::stdout(args.max_buffered())
                    .map_err(|error| cannot_start(&args.address.quoted(), &error))?,
            ),
        };
        Ok(Self {
            lines,
            names: Names::new(),
            json: args.json,
            max_buffered: args.max_buffered(),
            log: Arc::clone(log),
            stop: stop.clone(),
            drain_timeout: args.listen.drain,
            error: OnceLock::new(),
            is_abandoned: OnceLock::new(),
        })
    }

    /// Whether anything is printed; if not, no user's name need be looked up.
    pub(super) fn shows(&self) -> bool {
        self.lines.is_some()
    }

    /// The sender of a message, to be printed with it.
    pub(super) fn sender(&self, peer: Option<Peer>) -> MessageSender {
        MessageSender::known_by(&self.names, peer)
    }

    /// As [`Self::sender`], of an HTTP request.
    pub(super) fn caller(&self, caller: Option<&Caller>) -> MessageSender {
        MessageSender::of_caller(&self.names, caller)
    }

    /// Prints what came, as [`Self::print`] does.
    pub(super) async fn show(&self, received: &ShownMessage<'_>, sender: &MessageSender) -> bool {
        let line = self.line(received, sender);
        self.print(line, sender).await
    }

    pub(super) fn line(
        &self,
        received: &ShownMessage<'_>,
        sender: &MessageSender,
    ) -> io::Result<Vec<u8>> {
        match (&self.lines, self.json) {
            (None, _) => Ok(Vec::new()),
            (_, true) => Ok(message::as_json(received, sender)?),
            (_, false) => Ok(message::as_text(received, sender)),
        }
    }

    pub(super) fn request_line(
        &self,
        request: &ShownRequest<'_>,
        sender: &MessageSender,
    ) -> io::Result<Vec<u8>> {
        if self.json {
            Ok(request.as_json(sender)?)
        } else {
            Ok(request.as_text(sender))
        }
    }

    /// Prints a line; if that fails for good, the server stops: its work could not be seen. `false`
    /// where the message is not to be answered: the line cannot be written, or too many bytes wait
    /// for a reader of standard output already.
    pub(super) async fn print(&self, line: io::Result<Vec<u8>>, sender: &MessageSender) -> bool {
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
                self.log.complain_of(&format!(
                    "{} sent a message that is lost: standard output is not read, and {} bytes wait for it (--max-buffered); its connection is closed",
                    sender.describe(),
                    self.max_buffered
                ));
                false
            }
            Err(error) => {
                let reader_gone = stdio::is_of_a_reader_gone(&error);
                if reader_gone {
                    self.abandon();
                } else if self.error.get().is_none() {
                    error!("cannot write to standard output: {error}; stopping");
                }
                let _ = self.error.set(error);
                self.stop.cancel();
                // A drain answers what has begun, whether or not anybody reads the output. But what
                // was to be kept in a file, and was not, is not acknowledged.
                reader_gone
            }
        }
    }

    /// Stops the server once nobody reads the output any more: what is done could not be seen.
    pub(super) async fn watch(&self) {
        if let Some(lines) = &self.lines
            && lines.reader_gone().await.is_ok()
        {
            self.abandon();
            self.stop.cancel();
        }
    }

    fn abandon(&self) {
        if self.is_abandoned.set(()).is_ok() {
            let drain = output::duration(self.drain_timeout);
            error!(
                "nobody reads standard output any more: no new clients, draining for at most {drain}"
            );
        }
    }
}
