//! [`Loss`]: why a datagram was not sent on, and the log line that says so.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::SocketAddrUnix;

use super::report::LossKind;
use crate::address::escaped;
use crate::peer::Peer;

/// How many kinds there are.
const KINDS: usize = Loss::Failed as usize + 1;
/// At most one line of a kind in so many milliseconds.
const INTERVAL: u64 = 1000;

/// Why a datagram was not sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    TooLong,
    NotAllowed,
    UnknownSender,
    FdsNotAllowed,
    FdsLost,
    FdsRefused,
    NoTarget,
    NoSocket,
    Full,
    TooManyWait,
    NoSendBuffer,
    Gone,
    Reset,
    Aborted,
    Failed,
}

impl Loss {
    pub(super) fn kind(self) -> LossKind {
        match self {
            Self::TooLong | Self::NotAllowed | Self::UnknownSender | Self::FdsNotAllowed => {
                LossKind::Refused
            }
            Self::Aborted => LossKind::Aborted,
            _ => LossKind::Dropped,
        }
    }

    #[cfg_attr(not(feature = "tracing"), allow(dead_code))]
    fn text(self) -> &'static str {
        match self {
            Self::TooLong => "it is longer than the limit of a record",
            Self::NotAllowed => "its sender is not allowed",
            Self::UnknownSender => {
                "its sender is not known: it has no credentials, or ids without a mapping"
            }
            Self::FdsNotAllowed => "it came with file descriptors, and they are refused",
            Self::FdsLost => {
                "not all of its file descriptors could be received; raise the limit (ulimit -n)"
            }
            Self::FdsRefused => "its receiver refuses file descriptors",
            Self::NoTarget => "no target can be sent to",
            Self::NoSocket => {
                "no socket could be opened for its sender; raise the limit (ulimit -n)"
            }
            Self::Full => {
                "its receiver does not read; it is dropped until there is room in the receiver's queue"
            }
            Self::TooManyWait => "its receiver has no room, and too many wait for theirs",
            Self::NoSendBuffer => "it does not fit into the send buffer; raise net.core.wmem_max",
            Self::Gone => "no socket has the address of its receiver any more, or may be sent to",
            Self::Reset => "the target has discarded it: it has connected its socket to another",
            Self::Aborted => "the drain has ended",
            Self::Failed => "it could not be sent",
        }
    }
}

/// Who has sent a datagram, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct DatagramSource<'a> {
    pub(super) peer: Option<Peer>,
    pub(super) address: Option<&'a SocketAddrUnix>,
}

impl fmt::Display for DatagramSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.peer {
            return peer.fmt(f);
        }
        let Some(address) = self.address else {
            return f.write_str("a sender whose address is unknown");
        };
        let (mark, name) = match address.abstract_name() {
            Some(name) => ("@", name),
            None => ("", address.path_bytes().unwrap_or_default()),
        };
        write!(f, "{mark}{}", escaped(OsStr::from_bytes(name)))
    }
}

/// The rate limit of the log lines of one direction.
#[derive(Debug, Default)]
pub(super) struct LossLog {
    kinds: [LossLogLine; KINDS],
}

#[derive(Debug, Default)]
struct LossLogLine {
    /// When another line may be written, in milliseconds since the relay began.
    next: AtomicU64,
    /// How many losses there were since the last line.
    count: AtomicU64,
}

impl LossLog {
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(super) fn write(
        &self,
        now: u64,
        what: &str,
        loss: Loss,
        from: DatagramSource<'_>,
        detail: &str,
    ) {
        let line = &self.kinds[loss as usize];
        line.count.fetch_add(1, Ordering::Relaxed);
        let next = line.next.load(Ordering::Relaxed);
        let renew = || {
            line.next
                .compare_exchange(next, now + INTERVAL, Ordering::Relaxed, Ordering::Relaxed)
        };
        if now < next || renew().is_err() {
            return;
        }
        let count = line.count.swap(0, Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            "dropped {what} {from}: {}{}{detail} ({count} since the last line)",
            loss.text(),
            if detail.is_empty() { "" } else { ": " }
        );
    }
}
