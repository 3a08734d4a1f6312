//! Who may connect to a [`Server`].

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::Server;
use crate::peer::{AllowedPeers, Peer};

pub(super) type Authorize = dyn Fn(&Peer, BorrowedFd<'_>) -> bool + Send + Sync;

impl Server {
    /// Allows our own user, and others only as [`allow_users`](Self::allow_users) and
    /// [`allow_groups`](Self::allow_groups) do.
    ///
    /// ```
    /// use sockeye::server::Server;
    ///
    /// let server = Server::new().same_user().allow_groups([100]);
    /// ```
    #[doc(alias = "SO_PEERCRED")]
    #[must_use]
    pub fn same_user(self) -> Self {
        self.allow_also(AllowedPeers::same_user)
    }

    /// Allows these users, by their user ids, and no others but those of [`same_user`](Self::same_user)
    /// and [`allow_groups`](Self::allow_groups): root and our own user are allowed only where they are
    /// named. A connection of somebody else is closed at once and counted as refused.
    ///
    /// An id without a mapping in our user namespace ([`ids`](crate::ids)) allows nobody.
    #[doc(alias = "SO_PEERCRED")]
    #[must_use]
    pub fn allow_users(self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.allow_also(|allowed| allowed.users(uids))
    }

    /// As [`allow_users`](Self::allow_users), for those whose effective group or one of whose
    /// supplementary groups is one of these.
    #[doc(alias = "SO_PEERGROUPS")]
    #[must_use]
    pub fn allow_groups(self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.allow_also(|allowed| allowed.groups(gids))
    }

    /// Allows these peers only, whoever was allowed before.
    #[must_use]
    pub fn allow_peers(mut self, allowed: AllowedPeers) -> Self {
        self.allowed = Some(allowed);
        self
    }

    fn allow_also(mut self, more: impl FnOnce(AllowedPeers) -> AllowedPeers) -> Self {
        self.allowed = Some(more(self.allowed.take().unwrap_or_default()));
        self
    }

    /// Calls `allow` for each accepted connection, with its peer credentials and its socket (for
    /// [`peer::groups`](crate::peer::groups), say), if the methods above allow it. If it returns `false`
    /// or panics, the connection is closed at once and counted as refused. It must not block.
    #[must_use]
    pub fn authorize(
        mut self,
        allow: impl Fn(&Peer, BorrowedFd<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.authorize = Some(Arc::new(allow));
        self
    }

    /// Both checks; `None` where everybody is allowed.
    pub(super) fn authorization(&self) -> Option<Arc<Authorize>> {
        let (allowed, authorize) = (self.allowed.clone(), self.authorize.clone());
        match (allowed, authorize) {
            (None, authorize) => authorize,
            (Some(allowed), None) => {
                Some(Arc::new(move |peer, socket| allowed.admits(peer, socket)))
            }
            (Some(allowed), Some(authorize)) => Some(Arc::new(move |peer, socket| {
                allowed.admits(peer, socket) && authorize(peer, socket)
            })),
        }
    }
}
