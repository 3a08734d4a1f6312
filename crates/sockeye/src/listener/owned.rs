//! The path that a listener owns, or is about to: how it is taken over, renewed and passed on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;

use super::{ConnectedSocket, SocketListener};
use crate::claim::{ClaimError, Ownership, Renewed};
use crate::passing::Intake;
use crate::peer::Peer;
use crate::socket;
use crate::takeover::{Control, Outcome, Succession, TakeoverError};

impl<S: ConnectedSocket> SocketListener<S> {
    /// Listens with a socket that its owner has passed on, and which is not ours yet.
    pub(crate) fn inherited(
        socket: OwnedFd,
        ownership: Ownership,
        takes_descriptors: bool,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let mut listener = Self::new(socket, Some(ownership))?;
        // The socket gets the setting once it is ours.
        listener.intake = Intake::new(takes_descriptors);
        Ok(listener)
    }

    pub(crate) fn is_intact(&self) -> bool {
        self.ownership.as_ref().is_some_and(Ownership::is_intact)
    }

    pub(crate) fn succeeding(mut self, succession: Succession) -> Self {
        self.predecessor = Some(succession.predecessor());
        self.succession = Some(succession);
        self
    }

    /// The server that this was taken over from; `None` where it was claimed or adopted.
    #[must_use]
    pub fn predecessor(&self) -> Option<Peer> {
        self.predecessor
    }

    /// Whether the last step of a takeover is still to come.
    pub(crate) fn is_succession(&self) -> bool {
        self.succession.is_some()
    }

    /// Serving begins, which is the last step of a takeover: the path is ours from now on, and the
    /// predecessor drains. Where that comes too late, since it has taken its offer back, it is taken
    /// over once more, or claimed. Of a listener that was claimed or adopted this changes nothing.
    ///
    /// [`Server::run`](crate::server::Server::run) does that first. Whoever tells others of readiness
    /// before, a service manager say, calls this before that, and then `run` without delay: nobody
    /// accepts in between.
    ///
    /// # Errors
    /// As [`Takeover::listen`](crate::Takeover::listen).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the path to the server that has it.
    pub async fn begin(mut self) -> Result<Self, TakeoverError> {
        while let Some(mut succession) = self.succession.take() {
            let is_ours = match succession.complete().await? {
                Outcome::Ours => true,
                Outcome::Left => self.is_intact(),
                Outcome::Theirs => false,
            };
            if !is_ours {
                // Its lock would keep us from claiming the path.
                drop(self);
                self = succession.again().await?;
                continue;
            }
            self.set_ours(true);
            // Not before: until then the predecessor serves, and clients are told of that.
            if let Some(ownership) = &mut self.ownership {
                ownership.settle_owners();
                // It listens already; without this, clients are told of the predecessor.
                let _ = ownership.listen(&self.io);
            }
            // Without it, descriptors are closed on another thread.
            let _ = self.take_descriptors(self.intake.takes);
        }
        Ok(self)
    }

    /// Where successors ask, if the claim allows them to.
    pub(crate) fn control(&self) -> io::Result<Option<Control>> {
        let ownership = self.ownership.as_ref();
        let control = ownership.and_then(Ownership::control);
        let control = control.map(|(socket, file)| Control::new(socket, &file));
        control.transpose()
    }

    /// The ownership of the path, if there is one.
    pub(crate) fn ownership(&self) -> Option<&Ownership> {
        self.ownership.as_ref()
    }

    /// What a successor needs.
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

    /// Makes the files anew that somebody has removed. Whether there is another control socket, which
    /// there may be also where the rest has failed.
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
