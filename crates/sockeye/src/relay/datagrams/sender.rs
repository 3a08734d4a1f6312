//! [`RelaySender`]: the outgoing socket of one sender.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::sync::Notify;

use super::room::MOST_IN_FLIGHT;
use crate::address::Address;
use crate::connect::connect_once;
use crate::packet::Datagram;
use crate::{socket, sys};

/// In place of the time of the last datagram.
const CLOSED: u64 = u64::MAX;

/// The outgoing socket of one sender, or of all those that have no address. It is connected to one
/// target: the kernel lets only that one send to it.
#[derive(Debug)]
pub(super) struct RelaySender {
    pub(super) socket: Datagram,
    pub(super) address: Option<SocketAddrUnix>,
    /// Which of the targets.
    pub(super) target: usize,
    /// When the last datagram passed, either way, in milliseconds since the relay began, or
    /// [`CLOSED`].
    used: AtomicU64,
    /// Fds that were sent since the target had nothing left to read of this socket.
    in_flight: AtomicUsize,
    /// Notified when the relay drains, or closes this socket.
    pub(super) changed: Notify,
}

/// Why an outgoing socket was not opened.
pub(super) enum OpenSenderError {
    /// The target cannot be connected to.
    Target(Errno),
    /// We are short of fds, or of memory.
    Shortage,
}

impl RelaySender {
    /// Opens the socket and connects it. It is bound only then, so that nobody else can have sent to
    /// it. Without an address of the sender it stays unbound: the target sees that it cannot be
    /// answered.
    pub(super) fn open(
        address: Option<SocketAddrUnix>,
        (target, target_address): (usize, &Address),
        accepts_fds: bool,
        now: u64,
    ) -> Result<Self, OpenSenderError> {
        let socket = connect_once(target_address).map_err(|errno| match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => OpenSenderError::Shortage,
            errno => OpenSenderError::Target(errno),
        })?;
        let open = || {
            let mut socket = Datagram::from_nonblocking(socket)?;
            socket.keep_accepting_fds();
            socket.allow_fd_passing(accepts_fds)?;
            if address.is_some() {
                socket::autobind(socket.as_fd())?;
            }
            Ok::<_, io::Error>(socket)
        };
        Ok(Self {
            socket: open().map_err(|_| OpenSenderError::Shortage)?,
            address,
            target,
            used: AtomicU64::new(now),
            in_flight: AtomicUsize::new(0),
            changed: Notify::new(),
        })
    }

    /// Whether the target has read enough that so many more fds may be sent to it.
    pub(super) fn may_send_fds(&self, fds: usize) -> bool {
        if fds == 0 || self.in_flight.load(Ordering::Relaxed) + fds <= MOST_IN_FLIGHT {
            return true;
        }
        if let Ok(1..) = sys::socket::unread_by_peer(self.socket.as_fd()) {
            return false;
        }
        self.in_flight.store(0, Ordering::Relaxed);
        true
    }

    pub(super) fn sent_fds(&self, fds: usize) {
        if fds > 0 {
            self.in_flight.fetch_add(fds, Ordering::Relaxed);
        }
    }

    /// Notes that a datagram passes; returns `false` where the socket is closed.
    pub(super) fn touch(&self, now: u64) -> bool {
        let later = |used| (used != CLOSED).then_some(now);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.used.fetch_update(set, fetch, later).is_ok()
    }

    /// When the last datagram passed; `None` where the socket is closed.
    pub(super) fn used(&self) -> Option<u64> {
        let used = self.used.load(Ordering::Acquire);
        (used != CLOSED).then_some(used)
    }

    /// Closes it if no datagram has passed since `used`.
    pub(super) fn close_if_unused_since(&self, used: u64) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let closed = self.used.compare_exchange(used, CLOSED, set, fetch);
        closed.is_ok()
    }

    /// Closes it. What the target has sent to it is still passed on.
    pub(super) fn close(&self) {
        self.used.store(CLOSED, Ordering::Release);
        self.changed.notify_one();
    }
}
