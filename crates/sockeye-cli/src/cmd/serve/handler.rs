//! [`Handler`]: what is done with each message, whatever the kind of the socket.

use std::sync::Arc;

use bytes::Bytes;
use sockeye::framing::Framing;
use tokio_util::sync::CancellationToken;

use super::client_log::ClientLog;
use super::message_output::MessageOutput;
use crate::args::{ReplyMode, Serve};

pub(super) struct Handler {
    pub(super) output: MessageOutput,
    pub(super) log: Arc<ClientLog>,
    pub(super) reply_mode: ReplyMode,
    /// The reply as it goes over a stream; empty where there is none.
    pub(super) framed_reply: Bytes,
    pub(super) framing: Framing,
    pub(super) allows_fd_passing: bool,
    pub(super) max_message: usize,
    /// How many bytes of replies may wait for receivers that do not read.
    pub(super) max_buffered: usize,
    /// Begins the shutdown.
    pub(super) stop: CancellationToken,
}

impl Handler {
    pub(super) fn new(args: &Serve, stop: &CancellationToken) -> anyhow::Result<Self> {
        let framing = Framing::from(args.framing());
        let reply_mode = args.reply_mode();
        let framed_reply = match &reply_mode {
            ReplyMode::Text(text) if framing == Framing::Length => {
                framing.encode(text.as_bytes())?
            }
            ReplyMode::Text(text) => Bytes::from(format!("{text}\n")),
            ReplyMode::Echo | ReplyMode::Discard => Bytes::new(),
        };
        let log = Arc::new(ClientLog::new());
        Ok(Self {
            output: MessageOutput::new(args, stop, &log)?,
            log,
            reply_mode,
            framed_reply,
            framing,
            allows_fd_passing: args.fds,
            max_message: args.max_message,
            max_buffered: args.max_buffered(),
            stop: stop.clone(),
        })
    }

    /// The reply to a record or datagram.
    pub(super) fn reply_to<'a>(&'a self, record: &'a [u8]) -> Option<&'a [u8]> {
        match &self.reply_mode {
            ReplyMode::Text(text) => Some(text.as_bytes()),
            ReplyMode::Echo => Some(record),
            ReplyMode::Discard => None,
        }
    }

    /// Stops the server once nobody reads its output any more.
    pub(super) async fn watch_output(self: Arc<Self>) {
        self.output.watch().await;
    }
}
