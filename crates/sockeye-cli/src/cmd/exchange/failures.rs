//! The errors of an exchange.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;
use sockeye::Kind;
use sockeye::ancillary::{RecvError, SendError};

use super::Exchange;
use super::channel::Channel;
use super::namespace::out_of_reach;
use crate::exit::{Exit, failure};
use crate::output;

/// A record has to fit into one allocation of the kernel and 17 pages beside it; then sendmsg(2)
/// fails with `ENOBUFS`, however large the socket's buffer is.
const LONGEST: usize = 4 * 1024 * 1024 + 17 * 4096;
const TOO_LONG: &str = "the kernel carries no record of this length (ENOBUFS: about 4 MiB is the most, whatever net.core.wmem_max allows, and less where memory is short); send less at once, or through a stream socket";

impl Exchange<'_> {
    pub(super) fn unanswered(&self, channel: &Channel) -> anyhow::Error {
        let (address, time) = (&self.target.address, self.timeout.unwrap_or_default());
        let time = output::duration(time);
        if address.kind() == Kind::Datagram
            && let Some(why) = out_of_reach(channel, self.local.as_ref())
        {
            let text = format!("cannot finish with {address}: no answer after {time}: {why}");
            return failure(Exit::TimedOut, text);
        }
        failure(
            Exit::TimedOut,
            format!(
                "cannot finish with {address}: the answer was not complete after {time}; allow more with --timeout, or look at the server"
            ),
        )
    }

    pub(super) fn queue_full(&self, time: Duration, option: &str) -> anyhow::Error {
        let address = self.target.address.quoted();
        let time = output::duration(time);
        failure(
            Exit::TimedOut,
            format!(
                "cannot send to {address}: its queue stayed full for {time}; wait longer with {option}, or look at what keeps the server busy"
            ),
        )
    }

    pub(super) fn unsent(&self) -> anyhow::Error {
        let address = self.target.address.quoted();
        failure(
            Exit::Failed,
            format!(
                "cannot finish with {address}: the server closed the connection before the end of the input; end the input, or look at the server"
            ),
        )
    }

    /// Standard input could not be read to its end.
    pub(super) fn unread(&self, error: &io::Error) -> anyhow::Error {
        let address = self.target.address.quoted();
        failure(
            Exit::Failed,
            format!("cannot finish with {address}: reading standard input: {error}"),
        )
    }

    pub(super) fn unsendable(&self, error: &SendError) -> anyhow::Error {
        let address = self.target.address.quoted();
        if let SendError::DescriptorsRefused = error {
            let advice = if self.may_relay {
                "have it accept them"
            } else {
                "send without --fd, or have it accept them"
            };
            return failure(
                Exit::NotPermitted,
                format!(
                    "cannot send to {address}: the server refuses file descriptors (EPERM); {advice} (sockeye serve --fds)"
                ),
            );
        }
        if let SendError::TooLong { size, .. } = error
            && *size > LONGEST
        {
            return failure(
                Exit::Failed,
                format!("cannot send to {address}: a record of {size} bytes: {TOO_LONG}"),
            );
        }
        failure(Exit::Failed, format!("cannot send to {address}: {error}"))
    }

    pub(super) fn refused(&self, error: &RecvError) -> anyhow::Error {
        let address = self.target.address.quoted();
        let advice = match error {
            RecvError::TooLong { .. } => "; --max-message allows longer ones",
            _ => "",
        };
        failure(
            Exit::Failed,
            format!("cannot read the answer of {address}: {error}{advice}"),
        )
    }

    pub(super) fn broken(&self, error: &io::Error) -> anyhow::Error {
        let address = self.target.address.quoted();
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
            _ if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                format!("cannot send to {address}: {TOO_LONG}")
            }
            _ => format!("cannot finish with {address}: {error}"),
        };
        failure(Exit::Failed, text)
    }
}
