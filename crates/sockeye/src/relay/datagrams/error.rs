//! [`DatagramRelayError`]: why a relay of datagrams has ended, or did not begin.

use std::io;

use super::report::DatagramRelayReport;
use crate::address::Address;

/// Why a [`DatagramRelay`](super::DatagramRelay) has ended, or did not begin.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DatagramRelayError {
    /// There is no target.
    #[error("no target to send the datagrams to; name at least one")]
    NoTarget,
    /// A target that cannot be connected to by its address, once for each sender.
    #[error(
        "cannot send datagrams to {}: it is not the path or the abstract name of a datagram socket; write dgram:PATH or dgram:@NAME",
        .0.quoted()
    )]
    NotATarget(Address),
    /// A target is the address that the relay listens on.
    #[error("cannot relay {} to itself; name another target", .0.quoted())]
    Itself(Address),
    /// The credentials of the clients are to be sent on, and this process may not.
    #[error(
        "cannot send the credentials of the clients: {0}; run as root (CAP_SETUID, CAP_SETGID)"
    )]
    Credentials(#[source] io::Error),
    /// The listening socket could not be set up.
    #[error("cannot set up the listening socket: {0}")]
    Setup(#[source] io::Error),
    /// Receiving became impossible.
    #[error("cannot receive datagrams: {source}")]
    Receive {
        /// What recvmsg(2) or epoll_ctl(2) said.
        source: io::Error,
        /// What was passed on until then.
        report: Box<DatagramRelayReport>,
    },
}

crate::error_debug::debug_as_display!(DatagramRelayError);

impl DatagramRelayError {
    /// What was passed on until then.
    #[must_use]
    pub fn report(&self) -> DatagramRelayReport {
        match self {
            Self::Receive { report, .. } => **report,
            _ => DatagramRelayReport::default(),
        }
    }
}
