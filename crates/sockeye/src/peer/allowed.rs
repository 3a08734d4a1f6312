//! [`AllowedPeers`]: who may connect, by user and group.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Peer, groups, groups_of_process};
use crate::ids;

/// The users and groups that may connect; at first nobody. An id without a mapping in our user namespace
/// ([`ids`]) allows nobody, and root is a user like any other.
///
/// [`Server::allow_users`](crate::server::Server::allow_users) is the same for a server of connections.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use sockeye::Peer;
/// use sockeye::peer::AllowedPeers;
///
/// let allowed = AllowedPeers::new().same_user().groups([100]);
/// let (ours, _theirs) = UnixStream::pair()?;
/// assert!(allowed.admits(&Peer::of(&ours)?, &ours));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "allow list")]
#[doc(alias = "access control")]
#[derive(Debug, Clone, Default)]
pub struct AllowedPeers {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl AllowedPeers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows our own effective user.
    #[must_use]
    pub fn same_user(self) -> Self {
        self.users(ids::own_uid())
    }

    /// Allows these users, by their user ids.
    #[must_use]
    pub fn users(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.uids.extend(uids);
        self
    }

    /// Allows the members of these groups, by their group ids: a peer is one by its primary group or by
    /// one of its supplementary groups.
    #[must_use]
    pub fn groups(mut self, gids: impl IntoIterator<Item = u32>) -> Self {
        self.gids.extend(gids);
        self
    }

    /// Whether a group is allowed. Then the sender of a datagram has to be known by its pidfd
    /// ([`pass_pidfds`](crate::ancillary::pass_pidfds)) for [`admits_sender`](Self::admits_sender).
    #[must_use]
    pub fn has_groups(&self) -> bool {
        !self.gids.is_empty()
    }

    /// Whether the peer of a connection is allowed. A peer whose groups cannot be read is a member of none.
    #[must_use]
    pub fn admits(&self, peer: &Peer, socket: impl AsFd) -> bool {
        let admits = |groups: &[u32]| self.admits_ids(peer.uid(), peer.gid(), groups);
        admits(&[]) || self.has_groups() && admits(&groups(socket).unwrap_or_default())
    }

    /// Whether one with these ids is allowed: its user, its primary group and its supplementary groups.
    /// An unknown id matches none.
    #[must_use]
    pub fn admits_ids(&self, uid: Option<u32>, gid: Option<u32>, groups: &[u32]) -> bool {
        uid.is_some_and(|uid| self.uids.contains(&uid))
            || gid.is_some_and(|gid| self.gids.contains(&gid))
            || groups.iter().any(|gid| self.gids.contains(gid))
    }

    /// Whether the sender of a datagram is allowed. Its credentials have the primary group only; the
    /// supplementary ones are those of `process`, its pidfd, while that runs.
    ///
    /// # Errors
    /// As [`groups_of_process`], where the groups matter; `ESRCH` also without a pidfd.
    pub fn admits_sender(&self, sender: &Peer, process: Option<impl AsFd>) -> io::Result<bool> {
        let admits = |groups: &[u32]| self.admits_ids(sender.uid(), sender.gid(), groups);
        if admits(&[]) || !self.has_groups() {
            return Ok(admits(&[]));
        }
        let process = process.ok_or(Errno::SRCH)?;
        Ok(admits(&groups_of_process(process, sender)?))
    }
}

impl fmt::Display for AllowedPeers {
    /// `uid 0 or 1000, or group 100`, or `nobody`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (what, ids) in [("uid", &self.uids), ("group", &self.gids)] {
            for (index, id) in ids.iter().enumerate() {
                match index {
                    0 => write!(f, "{before}{what} {id}")?,
                    _ => write!(f, " or {id}")?,
                }
                before = ", or ";
            }
        }
        if before.is_empty() {
            f.write_str("nobody")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_who_is_allowed() {
        let allowed = AllowedPeers::new();
        assert_eq!(allowed.to_string(), "nobody");
        assert_eq!(allowed.clone().groups([4]).to_string(), "group 4");
        let both = allowed.users([0, 1000]).groups([4, 100]);
        assert_eq!(both.to_string(), "uid 0 or 1000, or group 4 or 100");
    }
}
