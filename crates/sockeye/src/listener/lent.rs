//! [`LentClaim`]: the address of a listener that a foreign server accepts from.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;

use super::SocketListener;
use crate::address::Address;
use crate::claim::Ownership;
use crate::stream::Stream;

impl SocketListener<Stream> {
    /// A listener of the standard library for a server that has its own accept loop, and the claim, which
    /// must be kept while that serves. The listener is non-blocking, as tokio's `UnixListener::from_std`
    /// wants it.
    ///
    /// ```no_run
    /// use sockeye::{Claim, Listener};
    ///
    /// # async fn serve(_: tokio::net::UnixListener) {}
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = Listener::open(&"/run/app.sock".parse()?, &Claim::options().mode(0o660))?;
    /// let (listener, claim) = listener.lend()?;
    /// serve(tokio::net::UnixListener::from_std(listener)?).await;
    /// drop(claim); // removes the socket file
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Which server takes it
    ///
    /// | server | with |
    /// | --- | --- |
    /// | actix-web 4 | `HttpServer::new(app).listen_uds(listener)?` |
    /// | poem 3 | `poem::Server::new_with_acceptor(UnixAcceptor::from_std(listener)?)` |
    /// | warp 0.4 | `warp::serve(routes).incoming(UnixListener::from_std(listener)?)`; or `http::serve` with `warp::service(routes)`, which loses nothing |
    /// | tarpc 0.37 | needs no loan: `serde_transport::new(Framed::new(connection, codec), Json::default())` in a handler of [`Server::run`](crate::Server::run), which loses nothing but the drain between two requests |
    /// | rocket 0.5 | takes no listener: put a [`Relay`](crate::Relay) in front of its TCP port |
    /// | axum, tonic, jsonrpsee, rmcp: tower services | need no loan: `http::serve`, or `http::Incoming` |
    ///
    /// # What is lost
    ///
    /// | of [`Server`](crate::Server) | with a lent listener |
    /// | --- | --- |
    /// | claim: lock, stale sockets, mode, owner, access list | stays, until the [`LentClaim`] is dropped |
    /// | fds that clients pass | are refused by the kernel (Linux 6.16), unless the claim allows them |
    /// | takeover | is not possible: a claim with [`takeover`](crate::ClaimOptions::takeover) is not lent |
    /// | recreated files ([`renew_files`](crate::Server::renew_files)) | are lost |
    /// | accept back-off, limits, `allow_users`, timeouts, busy polling | are what the server has |
    /// | who calls | [`Peer::of`](crate::Peer::of) the socket, if the server shows it |
    /// | backlog at shutdown | is reset when the server closes the listener |
    /// | drain and its timeout, [`Report`](crate::Report) | are what the server has |
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where the claim allows a takeover, for which nobody would answer a
    /// successor; as dup(2).
    #[doc(alias = "actix")]
    #[doc(alias = "warp")]
    #[doc(alias = "rocket")]
    #[doc(alias = "poem")]
    #[doc(alias = "tarpc")]
    #[doc(alias = "into_std")]
    pub fn lend(self) -> io::Result<(StdListener, LentClaim)> {
        let controlled = self.ownership.as_ref().filter(|it| it.control().is_some());
        if let Some(ownership) = controlled {
            let why = format!(
                "cannot lend the listener of {}: its claim allows a takeover, and a foreign server answers no \
                 successor; claim it without",
                ownership.address().quoted()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let address = self.address();
        let listener = self.as_fd().try_clone_to_owned()?;
        let claim = LentClaim {
            ownership: self.ownership,
            _socket: self.io.into_inner(),
            address,
        };
        Ok((listener.into(), claim))
    }
}

/// The claim of a listener that was lent to a foreign server ([`SocketListener::lend`]). Dropping it
/// releases the address: the socket file is removed, if it is still the one that was bound, then the lock
/// file. What the server has accepted goes on, and so does its listener for those who are in the backlog.
///
/// An abstract name has no file, and is free when this and the server's listener are both dropped.
#[must_use = "dropping it releases the address"]
pub struct LentClaim {
    // Dropped in this order: the path is given up before the socket closes, whose inode number may be that of
    // the next owner's.
    ownership: Option<Ownership>,
    _socket: OwnedFd,
    address: Option<Address>,
}

impl LentClaim {
    /// As [`SocketListener::address`].
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }
}

impl fmt::Debug for LentClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentClaim")
            .field("address", &self.address)
            .field("owns_path", &self.ownership.is_some())
            .finish_non_exhaustive()
    }
}
