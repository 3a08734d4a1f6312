//! Sends one datagram, and waits for room.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};
use rustix::net::{SendFlags, SocketAddrUnix, UCred};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::loss::Loss;
use crate::ancillary::{SendError, sendmsg_as, sendmsg_once};
use crate::backoff::Backoff;
use crate::socket;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Why a datagram was not sent.
#[derive(Debug)]
pub(super) enum DatagramFailure {
    /// There is no room now: in the receiver's queue or our send buffer, or for more fds in flight.
    Full,
    /// Nobody receives at the other end.
    Gone,
    /// It cannot be sent; the text is for the log.
    Lost(Loss, String),
}

/// Sends at once or not at all. The send buffer grows with the datagram, as far as
/// `net.core.wmem_max` lets it.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    to: Option<&SocketAddrUnix>,
    credentials: Option<&UCred>,
    bytes: &[u8],
    fds: &[OwnedFd],
) -> Result<(), DatagramFailure> {
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let flags = SendFlags::DONTWAIT;
    let attempt = || match credentials {
        Some(credentials) => sendmsg_as(credentials, socket, bytes, &fds, to, flags),
        None => sendmsg_once(socket, bytes, &fds, to, flags),
    };
    let sent = match attempt() {
        Err(SendError::TooLong { buffer, .. }) if grows(socket, buffer, bytes.len()) => attempt(),
        sent => sent,
    };
    sent.map(|_| ()).map_err(|error| failure(&error))
}

/// Raises `SO_SNDBUF`; returns whether that helped. The kernel doubles what is asked for.
fn grows(socket: BorrowedFd<'_>, before: usize, bytes: usize) -> bool {
    let _ = set_socket_send_buffer_size(socket, bytes);
    socket_send_buffer_size(socket).is_ok_and(|after| after > before)
}

fn failure(error: &SendError) -> DatagramFailure {
    let errno = match error {
        SendError::TooLong { .. } => {
            return DatagramFailure::Lost(Loss::NoSendBuffer, String::new());
        }
        SendError::DescriptorsRefused => {
            return DatagramFailure::Lost(Loss::FdsRefused, String::new());
        }
        SendError::Io(error) => Errno::from_io_error(error),
        _ => None,
    };
    match errno {
        // The kernel has memory for a large datagram again soon, or never: there is a deadline.
        Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::TOOMANYREFS) => DatagramFailure::Full,
        Some(
            Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::NOTCONN
            | Errno::PIPE
            | Errno::NOENT
            | Errno::NOTDIR
            // The client is connected to somebody else.
            | Errno::PERM
            // Another kind of socket is bound there by now.
            | Errno::PROTOTYPE,
        ) => DatagramFailure::Gone,
        _ => DatagramFailure::Lost(Loss::Failed, error.to_string()),
    }
}

/// The pauses between attempts while there is no room.
pub(super) fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Calls `attempt`, which sends to the peer of a connected socket, until it does not fail with
/// [`DatagramFailure::Full`], or for `timeout`: as soon as the kernel reports room, and after pauses, since
/// it reports none of fds in flight.
pub(super) async fn wait_for_room(
    connected: BorrowedFd<'_>,
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<(), DatagramFailure>,
) -> Result<(), DatagramFailure> {
    let until = Instant::now().checked_add(timeout);
    let mut backoff = backoff();
    let writable = register_for_writing(connected);
    loop {
        let left = until.map_or(timeout, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Err(DatagramFailure::Full);
        }
        let pause = tokio::time::sleep(backoff.next_pause().min(left));
        match &writable {
            Some(writable) => tokio::select! {
                ready = writable.writable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                }
                () = pause => {}
            },
            None => pause.await,
        }
        match attempt() {
            Err(DatagramFailure::Full) => {}
            done => return done,
        }
    }
}

/// A second fd of the socket: registered for writing, the first one would be woken at each read of the
/// target. `None` where there is none to spare.
fn register_for_writing(connected: BorrowedFd<'_>) -> Option<AsyncFd<OwnedFd>> {
    let copy = connected.try_clone_to_owned().ok()?;
    socket::register(copy, Interest::WRITABLE).ok()
}
