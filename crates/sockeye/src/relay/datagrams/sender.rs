//! [`RelaySender`]: the outgoing socket of one sender.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use tokio::sync::Notify;

use super::room::MOST_IN_FLIGHT;
use crate::address::Address;
use crate::connect::connect_once;
use crate::packet::Datagram;
use crate::peer::Peer;
use crate::relay::DirectionEnd;
use crate::relay::observer::{ObservedSide, PieceBytes};
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
    observed: Option<Box<ObservedSender>>,
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

const TO_TARGET: usize = 0;
const TO_CLIENT: usize = 1;

/// Both directions, which two tasks pass on.
struct ObservedSender([Mutex<ObservedSide>; 2]);

impl ObservedSender {
    fn datagram(&self, direction: usize, bytes: &[u8], fds: &[OwnedFd], credentials: Option<Peer>) {
        let bytes = PieceBytes::Borrowed(bytes);
        self.side(direction).piece(bytes, true, fds, credentials);
    }

    fn side(&self, direction: usize) -> MutexGuard<'_, ObservedSide> {
        // Nothing under the lock panics half-way.
        let side = self.0[direction].lock();
        side.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ObservedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedSender").finish_non_exhaustive()
    }
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
        observer: impl FnOnce() -> Option<[ObservedSide; 2]>,
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
        let socket = open().map_err(|_| OpenSenderError::Shortage)?;
        Ok(Self {
            socket,
            address,
            target,
            used: AtomicU64::new(now),
            in_flight: AtomicUsize::new(0),
            observed: observer().map(|sides| Box::new(ObservedSender(sides.map(Mutex::new)))),
            changed: Notify::new(),
        })
    }

    /// Hands over a datagram of its sender.
    pub(super) fn observe(&self, bytes: &[u8], fds: &[OwnedFd], credentials: Option<Peer>) {
        if let Some(observed) = &self.observed {
            observed.datagram(TO_TARGET, bytes, fds, credentials);
        }
    }

    /// Hands over an answer of the target.
    pub(super) fn observe_answer(&self, bytes: &[u8], fds: &[OwnedFd]) {
        if let Some(observed) = &self.observed {
            observed.datagram(TO_CLIENT, bytes, fds, None);
        }
    }

    /// Waits until an observer has room for another answer, if it is to see everything.
    pub(super) async fn room_for_answer(&self) {
        if let Some(observed) = &self.observed {
            poll_fn(|cx| observed.side(TO_CLIENT).poll_room(cx)).await;
        }
    }

    /// Whether [`Self::room_for_answer`] completes at once.
    pub(super) fn has_room_for_answer(&self) -> bool {
        let observed = self.observed.as_ref();
        observed.is_none_or(|observed| observed.side(TO_CLIENT).has_room())
    }

    /// Tells an observer that nothing more passes.
    pub(super) fn end_observed(&self) {
        if let Some(observed) = &self.observed {
            for direction in [TO_TARGET, TO_CLIENT] {
                observed.side(direction).end(DirectionEnd::Eof);
            }
        }
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
