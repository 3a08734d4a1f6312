//! fd passing (`SCM_RIGHTS`): whether peers may pass fds to a socket, and what becomes of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ancillary::{Received, RecvError};
use crate::closing::{self, close_in_background};
use crate::sys::message::peek;
use crate::{fd_headroom, sys};

/// What becomes of fds that are passed to a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// The kernel refuses them, and reports no credentials: nothing is checked before a receive, and a
    /// short read has emptied the queue.
    Refused,
    /// The kernel refuses them, or the socket is a client's: nothing is checked before a receive.
    Unchecked,
    /// They are closed in the background: the kernel is too old to refuse them, or the client connected
    /// before the listener refused any.
    Discards,
    /// A caller that receives ancillary data gets them; otherwise they are closed in the background.
    Receives,
}

impl Passing {
    /// Whether nobody here looks for fds.
    pub(crate) fn is_unchecked(self) -> bool {
        matches!(self, Self::Refused | Self::Unchecked)
    }

    /// Call before receiving up to `size` bytes: checks that the queued fds fit, since recvmsg(2) would
    /// close those that do not, in this thread.
    ///
    /// # Errors
    /// [`RecvError::StillClosing`] and [`RecvError::DescriptorsLost`], which both leave the message in the
    /// queue; otherwise as recvmsg(2).
    pub(crate) fn check(
        self,
        fd: BorrowedFd<'_>,
        size: usize,
        has_records: bool,
    ) -> Result<PeekedFds, RecvError> {
        if self.is_unchecked() {
            return Ok(PeekedFds::all(size));
        }
        let has_room = closing::has_room();
        let most = if has_room {
            fd_headroom::for_next_message(fd)
        } else {
            Some(0)
        };
        let others = if has_records { peek::TIME } else { 0 };
        match PeekedFds::within(fd, size, most, others) {
            Err(RecvError::DescriptorsLost) if !has_room => Err(RecvError::StillClosing),
            other => other,
        }
    }

    /// What the caller gets of a received message.
    pub(crate) fn keep(self, mut received: Received) -> Received {
        fd_headroom::spend(received.descriptors.len());
        if self == Self::Discards {
            close_in_background(std::mem::take(&mut received.descriptors));
        }
        received
    }
}

/// The fds of the next message, seen with `MSG_PEEK`, and how much can be received with them without
/// the kernel closing any.
#[derive(Debug)]
pub(crate) struct PeekedFds {
    /// How many bytes of a stream; what is queued behind them was not checked.
    pub(crate) size: usize,
    /// Duplicates of the queued fds: while they are open, a close by the kernel is never the last one.
    copies: Vec<OwnedFd>,
}

impl PeekedFds {
    pub(crate) fn all(size: usize) -> Self {
        let copies = Vec::new();
        Self { size, copies }
    }

    /// Checks that the next message brings no more fds than `most`, if that is a bound.
    ///
    /// # Errors
    /// [`RecvError::DescriptorsLost`] if it brings more; otherwise as recvmsg(2).
    pub(crate) fn within(
        fd: BorrowedFd<'_>,
        size: usize,
        most: Option<usize>,
        others: usize,
    ) -> Result<Self, RecvError> {
        let Some(most) = most else {
            return Ok(Self::all(size));
        };
        let seen = peek::descriptors(fd, size, most, others)?;
        let peeked = Self {
            size: if seen.is_record {
                size
            } else {
                size.min(seen.length)
            },
            copies: seen.descriptors,
        };
        if seen.is_control_truncated {
            Err(RecvError::DescriptorsLost)
        } else {
            Ok(peeked)
        }
    }
}

impl Drop for PeekedFds {
    fn drop(&mut self) {
        close_in_background(self.copies.drain(..));
    }
}

/// A socket that is closed in the background if fds are in its queue, since the kernel closes them with
/// it.
#[derive(Debug)]
pub(crate) struct BackgroundCloseFd {
    /// `Some` until it is dropped.
    fd: Option<OwnedFd>,
    pub(crate) passing: Passing,
}

impl BackgroundCloseFd {
    pub(crate) fn new(fd: OwnedFd, passing: Passing) -> Self {
        let fd = Some(fd);
        Self { fd, passing }
    }
}

impl AsFd for BackgroundCloseFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Some(fd) => fd.as_fd(),
            None => unreachable!("only a drop takes it"),
        }
    }
}

impl From<BackgroundCloseFd> for OwnedFd {
    fn from(mut socket: BackgroundCloseFd) -> Self {
        match socket.fd.take() {
            Some(fd) => fd,
            None => unreachable!("only a drop takes it"),
        }
    }
}

impl Drop for BackgroundCloseFd {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take_if(|_| !self.passing.is_unchecked()) else {
            return;
        };
        if self.passing == Passing::Receives {
            // After this no more fds are queued.
            let _ = sys::socket::set_pass_rights(fd.as_fd(), false);
        }
        if peek::has_control(fd.as_fd(), 0) {
            close_in_background([fd]);
        }
    }
}

/// Whether a listening or datagram socket accepts fds (`SO_PASSRIGHTS`). It accepts none while too many
/// wait to be closed.
#[derive(Debug)]
pub(crate) struct PassRights {
    pub(crate) is_allowed: bool,
    is_paused: AtomicBool,
}

impl PassRights {
    /// For a socket that has this setting already.
    pub(crate) fn new(is_allowed: bool) -> Self {
        let is_paused = AtomicBool::new(false);
        Self {
            is_allowed,
            is_paused,
        }
    }

    /// Applies the setting to `socket`; returns whether the kernel supports it.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn set(&mut self, socket: BorrowedFd<'_>, allow: bool) -> io::Result<bool> {
        *self = Self::new(allow);
        Ok(sys::socket::set_pass_rights(socket, allow)?)
    }

    /// Call before each accept(2) or recvmsg(2).
    pub(crate) fn regulate<'a>(&self, sockets: impl IntoIterator<Item = BorrowedFd<'a>>) {
        if !self.is_allowed {
            return;
        }
        let is_paused = !closing::has_room();
        if self.is_paused.load(Ordering::Relaxed) == is_paused
            || self.is_paused.swap(is_paused, Ordering::Relaxed) == is_paused
        {
            return;
        }
        for socket in sockets {
            // Before Linux 6.16 there is no such option; the check before receiving refuses then.
            let _ = sys::socket::set_pass_rights(socket, !is_paused);
        }
    }

    /// Completes when [`Self::regulate`] would accept fds again.
    pub(crate) async fn resumed(&self) {
        if self.is_paused.load(Ordering::Relaxed) {
            closing::room().await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}
