//! [`Datagram`]: messages without a connection, asynchronous.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::address::Kind;
use crate::adopt::{self, AdoptError};
use crate::ancillary::{
    Received, RecvError, SendError, close_in_background, recvmsg_once, sendmsg_once,
};
use crate::backoff::Backoff;
use crate::claim::{Claim, Ownership};
use crate::passing::{Clear, Intake};
use crate::sys::message::peek;
use crate::{closing, fd_headroom, socket, sys};

/// The first pause of a sender whose receiver's queue is full.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// After so long a receiver looks again whether there is room for descriptors.
const UNTIL_ROOM: Duration = Duration::from_millis(100);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A UNIX datagram socket on a tokio runtime, with the address that it owns if it was claimed.
/// Dropping it releases the address as [`Claim`] does.
///
/// A datagram to a receiver whose queue is full (`net.unix.max_dgram_qlen`) waits. The kernel
/// gives no trustworthy sign when there is room again (poll(2) looks at the socket's own buffer,
/// not at each receiver's queue), so sending is tried again on a timer, until a deadline.
#[derive(Debug)]
pub struct Datagram {
    // Dropped in this order: the path is given up before the socket closes.
    ownership: Option<Mutex<Ownership>>,
    io: AsyncFd<OwnedFd>,
    send_timeout: Duration,
    /// Whether nobody else receives with the same socket.
    is_ours: bool,
    intake: Intake,
    /// Whether descriptors that find no room stay in the queue. Not with a socket that nobody has asked
    /// to take any: it might wait for good.
    leaves_in_queue: bool,
}

impl Datagram {
    /// Receives at a claimed address.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is not of [`Kind::Datagram`]; otherwise as
    /// epoll_ctl(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn from_claim(claim: Claim) -> io::Result<Self> {
        if claim.address().kind() != Kind::Datagram {
            return Err(io::ErrorKind::Unsupported.into());
        }
        rustix::io::ioctl_fionbio(&claim, true)?;
        // A duplicate, so that the claim is whole until nothing can fail any more.
        let mut datagram = Self::new(claim.as_fd().try_clone_to_owned()?, true)?;
        datagram.take_descriptors(claim.takes_descriptors())?;
        datagram.ownership = claim.into_ownership().map(Mutex::new);
        Ok(datagram)
    }

    /// A socket with an abstract name that the kernel chooses, so that it can be answered.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn unclaimed() -> io::Result<Self> {
        Self::new(socket::autobound(SocketFlags::NONBLOCK)?, true)
    }

    /// Two that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::Datagram, SocketFlags::NONBLOCK)?;
        Ok((Self::new(left, true)?, Self::new(right, true)?))
    }

    /// Adopts a descriptor: a UNIX datagram socket, bound by somebody else, who may receive with it
    /// too. Its file is never removed and the socket never shut down. It is made close-on-exec and
    /// non-blocking, the latter for all who share it. It takes descriptors until
    /// [`Self::take_descriptors`] says otherwise.
    ///
    /// # Errors
    /// [`AdoptError`] says what it is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::of_kind(fd.as_fd(), Kind::Datagram)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::new(fd, false).map_err(AdoptError::Io)
    }

    fn new(socket: OwnedFd, is_ours: bool) -> io::Result<Self> {
        sys::message::mark_records(socket.as_fd())?;
        Ok(Self {
            ownership: None,
            io: socket::register(socket, Interest::READABLE)?,
            send_timeout: SEND_TIMEOUT,
            is_ours,
            intake: Intake::new(true),
            leaves_in_queue: false,
        })
    }

    /// Whether others may pass descriptors to it, as [`ClaimOptions::take_descriptors`] does it for a
    /// socket that is claimed; here it is for all who share the socket.
    ///
    /// [`ClaimOptions::take_descriptors`]: crate::claim::ClaimOptions::take_descriptors
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn take_descriptors(&mut self, take: bool) -> io::Result<()> {
        let can_refuse = self.intake.set(self.io.as_fd(), take)?;
        self.leaves_in_queue = take || !can_refuse;
        Ok(())
    }

    /// How long a send may wait for room in the receiver's queue; ten seconds by default. Then it
    /// fails with [`io::ErrorKind::TimedOut`].
    pub fn set_send_timeout(&mut self, timeout: Duration) {
        self.send_timeout = timeout;
    }

    /// As [`Claim::unsafe_parent`].
    #[must_use]
    pub fn unsafe_parent(&self) -> Option<PathBuf> {
        lock(self.ownership.as_ref()?).unsafe_parent()
    }

    /// Whether others may receive with the same socket.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        !self.is_ours
    }

    /// Sends a datagram and duplicates of `descriptors` to the address that the socket is connected
    /// to.
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

    /// Sends a datagram and duplicates of `descriptors` to an address, such as
    /// [`Received::sender`].
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

    async fn send_in_time(
        &self,
        datagram: &[u8],
        descriptors: &[BorrowedFd<'_>],
        to: Option<&SocketAddrUnix>,
    ) -> Result<(), SendError> {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut waits_since = None;
        loop {
            let flags = SendFlags::DONTWAIT;
            match sendmsg_once(self.as_fd(), datagram, descriptors, to, flags) {
                Err(SendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done.map(|_| ()),
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

    /// Receives one datagram with what came along.
    ///
    /// # Errors
    /// [`RecvError`]; a datagram that does not fit is lost. [`io::ErrorKind::UnexpectedEof`] where
    /// receiving was shut down and nothing waits any more, which recvmsg(2) itself does not tell of
    /// a socket that does not block: a loop that trusted its `EAGAIN` would spin.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&self, buffer: &mut [u8]) -> Result<Received, RecvError> {
        loop {
            let mut ready = tokio::select! {
                biased;
                ready = self.io.readable() => ready?,
                () = self.intake.resumed() => {
                    self.intake.regulate([self.as_fd()]);
                    continue;
                }
            };
            match self.try_recv(buffer) {
                Err(RecvError::StillClosing) => tokio::time::sleep(UNTIL_ROOM).await,
                Err(error) => return Err(error),
                Ok(Some(received)) => return Ok(received),
                Ok(None) if ready.ready().is_read_closed() => {
                    return Err(RecvError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(None) => ready.clear_ready(),
            }
        }
    }

    /// Receives a datagram that waits already; `None` where none does.
    ///
    /// # Errors
    /// [`RecvError`]; a datagram that does not fit is lost. [`RecvError::StillClosing`] leaves it in
    /// the queue, since there is no room for its descriptors; [`Datagram::recv_msg`] waits instead.
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        self.intake.regulate([self.as_fd()]);
        let received = match RecvError::split_would_block(self.recv_now(buffer)) {
            Ok(received) => received?,
            Err(_) => return Ok(None),
        };
        Ok(received.map(|mut received| {
            fd_headroom::spend(received.descriptors.len());
            if !self.intake.takes {
                close_in_background(std::mem::take(&mut received.descriptors));
            }
            received
        }))
    }

    /// One recvmsg(2), where all that comes has room.
    fn recv_now(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let fd = self.as_fd();
        let most = match self.leaves_in_queue {
            true => fd_headroom::for_next_message(fd)
                .map(|most| if closing::has_room() { most } else { 0 }),
            false => None,
        };
        let clear = Clear::within(fd, 1, most, peek::CREDENTIALS);
        let _clear = clear.map_err(|error| match error {
            // Those behind it would wait for good.
            RecvError::DescriptorsLost
                if !fd_headroom::fits_any_message() && closing::discard_next(fd) =>
            {
                error
            }
            RecvError::DescriptorsLost => RecvError::StillClosing,
            error => error,
        })?;
        recvmsg_once(fd, buffer, RecvFlags::DONTWAIT)
    }

    /// Waits until a datagram waits, and leaves it there for whoever receives with the same socket.
    ///
    /// # Errors
    /// As poll(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        socket::readable(&self.io).await
    }

    /// Whether a datagram waits now.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_readable(&self) -> io::Result<bool> {
        socket::is_readable(self.as_fd())
    }

    /// Keeps newcomers out: the socket file goes, and whoever has connected already can send no
    /// more (`EPIPE`). What waits in the queue can still be received, and answered.
    ///
    /// An adopted socket is left as it is; others may receive with it.
    ///
    /// # Errors
    /// As unlink(2), where the file could not be removed; newcomers are refused all the same. As
    /// shutdown(2).
    pub fn refuse_newcomers(&self) -> io::Result<()> {
        let unlinked = match &self.ownership {
            Some(ownership) => lock(ownership).unlink(),
            None => Ok(()),
        };
        if self.is_ours {
            rustix::net::shutdown(&self.io, Shutdown::Read)?;
        }
        Ok(unlinked?)
    }
}

fn lock(ownership: &Mutex<Ownership>) -> MutexGuard<'_, Ownership> {
    // Nothing in there can be half done.
    ownership.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Datagram {
    /// What could not be taken is closed with the socket, which may take as long.
    fn drop(&mut self) {
        if self.leaves_in_queue
            && peek::has_unread(self.as_fd())
            && let Ok(socket) = self.as_fd().try_clone_to_owned()
        {
            close_in_background([socket]);
        }
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}
