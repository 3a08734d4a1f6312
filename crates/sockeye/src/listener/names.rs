//! The names of a listening socket.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;

use super::{ConnectedSocket, SocketListener};
use crate::address::Address;
use crate::socket;

impl<S: ConnectedSocket> SocketListener<S> {
    /// The UNIX address that clients call: the path as it was claimed, otherwise the name that the socket is
    /// bound to, also of an adopted one. `None` where the name of an adopted socket has no written
    /// form, and for TCP and vsock.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match &self.ownership {
            Some(ownership) => Some(ownership.address().clone()),
            None => socket::address(self.as_fd(), S::KIND?),
        }
    }

    /// The name that the socket is bound to, as getsockname(2) has it: that of a long path is shorter
    /// than [`address`](Self::address).
    ///
    /// # Errors
    /// As dup(2) and getsockname(2).
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::local_addr(self.as_fd())
    }
}
