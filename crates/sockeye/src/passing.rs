//! Whether peers may pass descriptors to a socket, and what becomes of those that come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ancillary::{Received, RecvError};
use crate::closing::{self, close_in_background};
use crate::sys;

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
    /// To be asked before anything is received: what has come may wait in the queue, but not here.
    ///
    /// # Errors
    /// [`RecvError::StillClosing`].
    pub(crate) fn check(self, fd: BorrowedFd<'_>, has_records: bool) -> Result<(), RecvError> {
        let room = if has_records {
            sys::message::peek::TIME
        } else {
            0
        };
        match self == Self::Plain
            || closing::has_room()
            || !sys::message::peek::has_control(fd, room)
        {
            true => Ok(()),
            false => Err(RecvError::StillClosing),
        }
    }

    /// What the caller is given of what came.
    pub(crate) fn keep(self, mut received: Received) -> Received {
        if self == Self::Discards {
            close_in_background(std::mem::take(&mut received.descriptors));
        }
        received
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
        if sys::message::peek::has_control(fd.as_fd(), 0) {
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
