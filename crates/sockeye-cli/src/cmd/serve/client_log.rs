//! [`ClientLog`]: rate-limited log lines about clients.

use std::io::{self, ErrorKind};

use sockeye::Peer;
use sockeye::framing::FramingError;
use sockeye::server::LimitError;
use tracing::{debug, warn};

use super::recv_errors::{describe_recv_error, limit_of};
use crate::output;
use crate::output::message::MessageSender;
use crate::stdio::log::LineQuota;

pub(super) struct ClientLog(LineQuota);

impl ClientLog {
    pub(super) fn new() -> Self {
        Self(LineQuota::new())
    }

    /// Writes a line about a client to the log, unless there are too many of them.
    pub(super) fn complain(&self, peer: impl FnOnce() -> Option<Peer>, text: &str) {
        if self.0.pass() {
            warn!("{} {text}", MessageSender::new(peer()).describe());
        }
    }

    /// As [`Self::complain`], of a line that names the client already.
    pub(super) fn complain_of(&self, line: &str) {
        if self.0.pass() {
            warn!("{line}");
        }
    }

    /// Says how many lines [`Self::complain`] has withheld.
    pub(super) fn tell_rest(&self) {
        self.0.tell_rest();
    }

    /// Says which limit of the server has ended a connection; `begun` bytes of its message had come.
    pub(super) fn tell_limit(
        &self,
        peer: impl FnOnce() -> Option<Peer>,
        error: &io::Error,
        begun: usize,
    ) {
        let text = match limit_of(error) {
            Some(LimitError::Buffered { held, limit }) => format!(
                "holds most of the buffered bytes, {held}, and all together exceed {limit} (--max-buffered)"
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

    /// Says that the idle timeout has passed while an answer was being sent.
    pub(super) fn tell_unread_reply(&self, peer: impl FnOnce() -> Option<Peer>) {
        let text = "left an answer unread until the idle timeout; its connection is closed";
        self.complain(peer, text);
    }

    /// As [`Self::tell_end`], also where fds or a message were refused.
    pub(super) fn tell_loss(&self, peer: impl FnOnce() -> Option<Peer>, error: &FramingError) {
        let why = match error {
            FramingError::Io(error) => error.get_ref().and_then(|why| why.downcast_ref()),
            _ => None,
        };
        match why.and_then(describe_recv_error) {
            Some(lost) => self.complain(peer, &format!("{lost}; its connection is closed")),
            None => self.tell_end(peer, error),
        }
    }

    /// A peer that is gone or silent is worth a line with --verbose only; any other error is ours.
    fn tell_end(&self, peer: impl FnOnce() -> Option<Peer>, error: &FramingError) {
        use ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
        match error {
            FramingError::Io(error)
                if !matches!(error.kind(), BrokenPipe | ConnectionReset | TimedOut) =>
            {
                self.complain(peer, &format!("lost its connection: {error}"));
            }
            _ => {
                let sender = MessageSender::new(peer());
                debug!("the connection of {} ended: {error}", sender.describe());
            }
        }
    }
}
