//! Whether clients of a listener may pass file descriptors (fd passing, `SCM_RIGHTS`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::{ConnectedSocket, SocketListener};
use crate::passing::Passing;
use crate::{fd_headroom, sys};

impl<S: ConnectedSocket> SocketListener<S> {
    /// Whether clients may pass fds, as [`ClaimOptions::allow_fd_passing`] does for a claimed socket.
    /// The setting is shared by all processes that have the socket.
    ///
    /// [`ClaimOptions::allow_fd_passing`]: crate::claim::ClaimOptions::allow_fd_passing
    ///
    /// # Errors
    /// As setsockopt(2). `EOPNOTSUPP` where clients of TCP or vsock are to pass fds.
    #[doc(alias = "SCM_RIGHTS")]
    #[doc(alias = "SO_PASSRIGHTS")]
    pub fn allow_fd_passing(&mut self, allow: bool) -> io::Result<()> {
        self.set_fd_passing(allow, true)
    }

    /// Lets new connections pass fds at any time. Otherwise they are refused while too many wait to be
    /// closed ([`close_in_background`](crate::close_in_background)), and the sender's sendmsg(2) fails
    /// with `EPERM`. For handlers that leave a message in the queue until there is room for its fds, as
    /// [`Relay`](crate::relay::Relay) does.
    pub fn keep_accepting_fds(&mut self) {
        self.keeps_accepting_fds = true;
    }

    pub(super) fn set_fd_passing(
        &mut self,
        allow: bool,
        has_early_clients: bool,
    ) -> io::Result<()> {
        if S::KIND.is_none() {
            self.passing = Passing::Refused;
            return if allow {
                Err(Errno::OPNOTSUPP.into())
            } else {
                Ok(())
            };
        }
        let can_refuse = self.pass_rights.set(self.io.as_fd(), allow)?;
        self.passing = match (allow, can_refuse) {
            (true, _) => Passing::Receives,
            // Its connections inherit that it reports credentials, and then a read ends between two senders.
            (false, true) if sys::socket::reports_credentials(self.io.as_fd())? => {
                Passing::Unchecked
            }
            (false, true) => Passing::Refused,
            (false, false) => Passing::Discards,
        };
        self.has_early_clients = AtomicBool::new(has_early_clients && can_refuse);
        Ok(())
    }

    /// Lets new connections pass fds only while there is room for these.
    pub(super) fn regulate(&self) {
        if self.keeps_accepting_fds {
            return;
        }
        let sockets = self.older.sockets().chain([&self.io]);
        self.pass_rights.regulate(sockets.map(AsFd::as_fd));
    }

    pub(super) fn connected(&self, fd: OwnedFd) -> io::Result<S> {
        let mut passing = self.passing;
        if !passing.is_unchecked() {
            fd_headroom::spend(1);
        }
        if self.has_early_clients.load(Ordering::Relaxed) {
            match sys::socket::pass_rights(fd.as_fd())? {
                // Later ones have connected after the setting was made.
                Some(is_allowed) if is_allowed == self.pass_rights.is_allowed => {
                    self.has_early_clients.store(false, Ordering::Relaxed);
                }
                _ => {
                    sys::socket::set_pass_rights(fd.as_fd(), self.pass_rights.is_allowed)?;
                    if passing.is_unchecked() {
                        passing = Passing::Discards;
                    }
                }
            }
        }
        S::from_accepted(fd, passing)
    }
}
