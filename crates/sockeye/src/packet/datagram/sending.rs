//! How a [`Datagram`] sends: a full receiver is retried with back-off, or reported.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::{SendFlags, SocketAddrUnix};
use tokio::time::Instant;

use super::Datagram;
use crate::ancillary::{SendError, sendmsg_once};
use crate::backoff::Backoff;

/// The first pause of a sender whose receiver's queue is full.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Datagram {
    /// Sends a datagram and duplicates of the fds in `descriptors` (`SCM_RIGHTS`) to the address that the
    /// socket is connected to.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        self.send_in_time(datagram, descriptors, None).await
    }

    /// Sends a datagram and duplicates of the fds in `descriptors` (`SCM_RIGHTS`) to an address, such as
    /// [`Received::sender`](crate::ancillary::Received::sender).
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg_to(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: &SocketAddrUnix,
    ) -> Result<(), SendError> {
        self.send_in_time(datagram, descriptors, Some(to)).await
    }

    /// As [`Self::send_msg`], without waiting: for a sender that rather drops a datagram.
    ///
    /// ```
    /// # use std::io::ErrorKind;
    /// # use sockeye::{Datagram, SendError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), SendError> {
    /// let (client, _server) = Datagram::pair()?;
    /// let mut sent = 0;
    /// let dropped = loop {
    ///     match client.try_send_msg(b"requests:1|c", &[]) {
    ///         Ok(()) => sent += 1,
    ///         Err(SendError::Io(full)) if full.kind() == ErrorKind::WouldBlock => break 1,
    ///         Err(error) => return Err(error),
    ///     }
    /// };
    /// assert!(sent > 0 && dropped == 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then. [`io::ErrorKind::WouldBlock`] where the receiver's queue
    /// is full; nothing tells reliably when there is room.
    pub fn try_send_msg(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        self.send_now(datagram, descriptors, None)
    }

    /// As [`Self::send_msg_to`], without waiting: one client that does not read keeps no other
    /// waiting.
    ///
    /// # Errors
    /// As [`Self::try_send_msg`].
    pub fn try_send_msg_to(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: &SocketAddrUnix,
    ) -> Result<(), SendError> {
        self.send_now(datagram, descriptors, Some(to))
    }

    async fn send_in_time(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: Option<&SocketAddrUnix>,
    ) -> Result<(), SendError> {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut waits_since = None;
        loop {
            match self.send_now(datagram, descriptors, to) {
                Err(SendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            let left = self
                .send_timeout
                .saturating_sub(waits_since.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            tokio::time::sleep(backoff.next_pause().min(left)).await;
        }
    }

    fn send_now(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: Option<&SocketAddrUnix>,
    ) -> Result<(), SendError> {
        sendmsg_once(self.as_fd(), datagram, descriptors, to, SendFlags::DONTWAIT)?;
        Ok(())
    }
}
