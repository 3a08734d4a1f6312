//! [`ClaimOptions`]: how to claim an address.

#[cfg(feature = "tokio")]
use std::time::Duration;

/// What to do about a stale socket file at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Replace it, once it is proven that no socket is bound to it any more.
    #[default]
    ReplaceStale,
    /// Leave it and fail.
    Fail,
}

/// How to claim an address; made by [`Claim::options`](super::Claim::options).
#[derive(Debug, Clone)]
pub struct ClaimOptions {
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) if_exists: IfExists,
    pub(super) backlog: i32,
    pub(super) takeover: bool,
    pub(super) pass_credentials: bool,
    pub(super) allow_fd_passing: bool,
    /// How long a successor that is ready may take to serve, if that was set.
    #[cfg(feature = "tokio")]
    pub(super) patience: Option<Duration>,
}

impl Default for ClaimOptions {
    fn default() -> Self {
        Self {
            mode: 0o600,
            uid: None,
            gid: None,
            if_exists: IfExists::default(),
            backlog: 4096,
            takeover: false,
            pass_credentials: false,
            allow_fd_passing: false,
            #[cfg(feature = "tokio")]
            patience: None,
        }
    }
}

impl ClaimOptions {
    /// The permission bits of the socket file, whatever the umask; default 0600. To connect, a
    /// client needs write permission (unix(7)). A claim with other bits than 0777, as of `mode(660)`,
    /// fails ([`ClaimErrorKind::NotAMode`](super::ClaimErrorKind::NotAMode)).
    #[doc(alias = "umask")]
    #[doc(alias = "chmod")]
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The owner and the group of the socket file; `None` leaves what bind(2) gives.
    #[doc(alias = "chown")]
    #[must_use]
    pub fn owner(mut self, uid: Option<u32>, gid: Option<u32>) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// What to do about a stale socket file; default [`IfExists::ReplaceStale`].
    #[doc(alias = "stale socket")]
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// How many connections may wait to be accepted; default 4096. The kernel limits it to
    /// `net.core.somaxconn` (listen(2)).
    #[doc(alias = "listen")]
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// Lets a successor of the same user, or of root, take the path over from the
    /// [`Server`](crate::server::Server) that runs on it; default no. The successor asks at a
    /// socket of its own beside the path, `PATH.takeover` of mode 0600. Only the path of a stream or
    /// seqpacket socket can be handed over.
    #[doc(alias = "restart")]
    #[must_use]
    pub fn takeover(mut self, allowed: bool) -> Self {
        self.takeover = allowed;
        self
    }

    /// Has the kernel attach the sender's credentials to each message (`SCM_CREDENTIALS`), from the
    /// first one on: a datagram socket receives as soon as it is bound, before
    /// [`pass_credentials`](crate::ancillary::pass_credentials) could be called. Default no.
    #[doc(alias = "SO_PASSCRED")]
    #[must_use]
    pub fn pass_credentials(mut self, on: bool) -> Self {
        self.pass_credentials = on;
        self
    }

    /// Lets clients pass file descriptors (fd passing, `SCM_RIGHTS`) from the first message on; default
    /// no. Otherwise the kernel refuses them: the client's sendmsg(2) fails with `EPERM`. That takes
    /// Linux 6.16; on an older kernel fds arrive, and a thread of their own closes them.
    ///
    /// The receiver has to close fds, and close(2) can take as long as the client wishes. A server that
    /// must not block passes them to
    /// [`close_in_background`](crate::ancillary::close_in_background); while too many are still to be
    /// closed, no more are accepted.
    #[doc(alias = "SO_PASSRIGHTS")]
    #[doc(alias = "SCM_RIGHTS")]
    #[must_use]
    pub fn allow_fd_passing(mut self, allow: bool) -> Self {
        self.allow_fd_passing = allow;
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn allows_fd_passing(&self) -> bool {
        self.allow_fd_passing
    }

    /// Sets how long the server waits for a successor that is ready and does not serve yet.
    #[cfg(feature = "tokio")]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn allows_takeover(&self) -> bool {
        self.takeover
    }

    /// The user that the file is given to, where one was asked for.
    #[cfg(feature = "tokio")]
    pub(crate) fn owner_uid(&self) -> Option<u32> {
        self.uid
    }
}
