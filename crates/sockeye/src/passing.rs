//! Whether peers may pass descriptors to a socket, and what becomes of those that come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ancillary::{Received, RecvError};
use crate::closing::{self, close_in_background};
use crate::sys::message::peek;
use crate::{fd_headroom, sys};

/// What becomes of descriptors that come to a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// The kernel refuses them, or the socket is a client's: nothing special.
    Plain,
    /// They are closed on another thread: the kernel is too old to refuse them, or the client has
    /// connected before it was told to.
    Discards,
    /// They are for who asks for them; otherwise they are closed on another thread.
    Takes,
}

impl Passing {
    /// To be asked before up to `size` bytes are received: what has come may wait in the queue, but not
    /// here, and not in the kernel, which closes what has no room.
    ///
    /// # Errors
    /// [`RecvError::StillClosing`], [`RecvError::DescriptorsLost`], which both leave it in the queue, and
    /// what recvmsg(2) says.
    pub(crate) fn check(
        self,
        fd: BorrowedFd<'_>,
        size: usize,
        has_records: bool,
    ) -> Result<Clear, RecvError> {
        if self == Self::Plain {
            return Ok(Clear::all(size));
        }
        let has_room = closing::has_room();
        let most = if has_room {
            fd_headroom::for_next_message(fd)
        } else {
            Some(0)
        };
        let others = if has_records { peek::TIME } else { 0 };
        match Clear::within(fd, size, most, others) {
            Err(RecvError::DescriptorsLost) if !has_room => Err(RecvError::StillClosing),
            other => other,
        }
    }

    /// What the caller is given of what came.
    pub(crate) fn keep(self, mut received: Received) -> Received {
        fd_headroom::spend(received.descriptors.len());
        if self == Self::Discards {
            close_in_background(std::mem::take(&mut received.descriptors));
        }
        received
    }
}

/// What may be received now, without the kernel closing any of it.
#[derive(Debug)]
pub(crate) struct Clear {
    /// So many bytes of a stream; beyond, something may have come that was not looked at.
    pub(crate) size: usize,
    /// Nothing is closed for good while these are open.
    copies: Vec<OwnedFd>,
}

impl Clear {
    pub(crate) fn all(size: usize) -> Self {
        let copies = Vec::new();
        Self { size, copies }
    }

    /// Where a message may bring no more descriptors than `most`, if there is such a limit.
    ///
    /// # Errors
    /// [`RecvError::DescriptorsLost`] where there are more, and what recvmsg(2) says.
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
        let clear = Self {
            size: if seen.is_record {
                size
            } else {
                size.min(seen.length)
            },
            copies: seen.descriptors,
        };
        match seen.is_control_truncated {
            true => Err(RecvError::DescriptorsLost),
            false => Ok(clear),
        }
    }
}

impl Drop for Clear {
    fn drop(&mut self) {
        close_in_background(self.copies.drain(..));
    }
}

/// A socket in whose queue descriptors may wait. The kernel closes those with the socket, so then that
/// is closed on another thread.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// There until it is dropped.
    fd: Option<OwnedFd>,
    pub(crate) passing: Passing,
}

impl Guarded {
    pub(crate) fn new(fd: OwnedFd, passing: Passing) -> Self {
        let fd = Some(fd);
        Self { fd, passing }
    }
}

impl AsFd for Guarded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Some(fd) => fd.as_fd(),
            None => unreachable!("only a drop takes it"),
        }
    }
}

impl From<Guarded> for OwnedFd {
    fn from(mut guarded: Guarded) -> Self {
        match guarded.fd.take() {
            Some(fd) => fd,
            None => unreachable!("only a drop takes it"),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take_if(|_| self.passing != Passing::Plain) else {
            return;
        };
        if self.passing == Passing::Takes {
            // What is not there by the next line does not come any more.
            let _ = sys::socket::set_pass_rights(fd.as_fd(), false);
        }
        if peek::has_control(fd.as_fd(), 0) {
            close_in_background([fd]);
        }
    }
}

/// Whether a socket takes descriptors, be it a listening one or one for datagrams. It takes none while
/// too many are still to be closed.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) takes: bool,
    is_paused: AtomicBool,
}

impl Intake {
    /// Of a socket that has this setting already.
    pub(crate) fn new(takes: bool) -> Self {
        let is_paused = AtomicBool::new(false);
        Self { takes, is_paused }
    }

    /// Gives `socket` the setting. Returns whether this kernel has it.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub(crate) fn set(&mut self, socket: BorrowedFd<'_>, takes: bool) -> io::Result<bool> {
        *self = Self::new(takes);
        Ok(sys::socket::set_pass_rights(socket, takes)?)
    }

    /// To be called before anything is accepted or received.
    pub(crate) fn regulate<'a>(&self, sockets: impl IntoIterator<Item = BorrowedFd<'a>>) {
        if !self.takes {
            return;
        }
        let is_paused = !closing::has_room();
        if self.is_paused.load(Ordering::Relaxed) == is_paused
            || self.is_paused.swap(is_paused, Ordering::Relaxed) == is_paused
        {
            return;
        }
        for socket in sockets {
            // An older kernel has no such option; what comes is refused when it is to be received.
            let _ = sys::socket::set_pass_rights(socket, !is_paused);
        }
    }

    /// Completes when [`Self::regulate`] would let descriptors in again.
    pub(crate) async fn resumed(&self) {
        match self.is_paused.load(Ordering::Relaxed) {
            true => closing::room().await,
            false => std::future::pending().await,
        }
    }
}
