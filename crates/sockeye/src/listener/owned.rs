//! The path that a listener owns, or takes over: inherited, renewed and passed on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;

use super::{ConnectedSocket, SocketListener};
use crate::claim::{ClaimError, Ownership, Renewed};
use crate::handover::PendingTakeover;
use crate::passing::PassRights;
use crate::peer::Peer;
use crate::socket;

impl<S: ConnectedSocket> SocketListener<S> {
    /// Listens with a socket that its owner has passed on, and still owns.
    pub(crate) fn inherited(
        socket: OwnedFd,
        ownership: Ownership,
        allows_fd_passing: bool,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let mut listener = Self::new(socket, Some(ownership))?;
        // The socket gets the setting once it is ours.
        listener.pass_rights = PassRights::new(allows_fd_passing);
        Ok(listener)
    }

    /// Listens with a socket of ours whose file a tap has, and that accepts fds.
    #[track_caller]
    pub(crate) fn in_front(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let mut listener = Self::new(socket, None)?;
        listener.set_fd_passing(true, false)?;
        listener.is_ours = true;
        listener.keep_accepting_fds();
        Ok(listener)
    }

    pub(crate) fn is_intact(&self) -> bool {
        self.ownership.as_ref().is_some_and(Ownership::is_intact)
    }

    pub(crate) fn pending(mut self, takeover: PendingTakeover) -> Self {
        self.predecessor = Some(takeover.predecessor);
        self.pending_takeover = Some(takeover);
        self
    }

    pub(crate) fn take_pending(&mut self) -> Option<PendingTakeover> {
        self.pending_takeover.take()
    }

    /// The server that this was taken over from; `None` where it was claimed or adopted.
    #[must_use]
    pub fn predecessor(&self) -> Option<Peer> {
        self.predecessor
    }

    /// Whether the last step of a takeover is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending_takeover.is_some()
    }

    /// The path is ours from now on: a takeover is complete.
    pub(crate) fn own(&mut self) {
        self.set_ours(true);
        // Not before: until then the predecessor serves, and SO_PEERCRED shows it.
        if let Some(ownership) = &mut self.ownership {
            ownership.settle_owners();
            // It listens already; without this, SO_PEERCRED shows the predecessor.
            let _ = ownership.listen(&self.io);
        }
        // Without it, fds are closed on another thread.
        let _ = self.allow_fd_passing(self.pass_rights.is_allowed);
    }

    /// The ownership of the path, if there is one.
    pub(crate) fn ownership(&self) -> Option<&Ownership> {
        self.ownership.as_ref()
    }

    /// The fds that a successor needs.
    pub(crate) fn to_pass_on(&self) -> Option<[BorrowedFd<'_>; 3]> {
        let ownership = self.ownership.as_ref()?;
        Some([self.as_fd(), ownership.lock(), ownership.control()?.0])
    }

    /// Whether the files are ours to remove, and the socket to shut down.
    pub(crate) fn set_ours(&mut self, is_ours: bool) {
        self.is_ours = is_ours;
        if let Some(ownership) = &mut self.ownership {
            ownership.set_ours(is_ours);
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Recreates removed files. Returns whether there is a new control socket,
    /// which there may be also where the rest has failed.
    ///
    /// # Errors
    /// [`ClaimError`] where somebody else has the path, or it cannot be done.
    pub(crate) fn renew(&mut self) -> (bool, Result<(), ClaimError>) {
        let mut renewed = Renewed::default();
        let result = self.renew_files(&mut renewed);
        (renewed.control, result)
    }

    fn renew_files(&mut self, renewed: &mut Renewed) -> Result<(), ClaimError> {
        let Some(ownership) = &mut self.ownership else {
            return Ok(());
        };
        ownership.renew(renewed)?;
        if let Some(socket) = renewed.listener.take() {
            let registered = rustix::io::ioctl_fionbio(&socket, true)
                .map_err(io::Error::from)
                .and_then(|()| socket::register(socket, Interest::READABLE));
            match registered {
                Ok(io) => self.older.push(std::mem::replace(&mut self.io, io)),
                Err(error) => return Err(ownership.unpublish(error)),
            }
        }
        Ok(())
    }
}
