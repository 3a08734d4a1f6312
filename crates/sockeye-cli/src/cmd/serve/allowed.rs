//! [`Allowed`]: who may call.

use sockeye::{Peer, ids};

/// Users and groups; the server's own user is always among them.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Allowed {
    /// `None` where everybody may call.
    pub(super) fn new(uids: &[u32], gids: &[u32]) -> Option<Self> {
        if uids.is_empty() && gids.is_empty() {
            return None;
        }
        Some(Self {
            uids: uids.iter().copied().chain(ids::own_uid()).collect(),
            gids: gids.to_vec(),
        })
    }

    /// Whether a peer may call that is in these groups besides its own. An unknown user or group is
    /// none that was named.
    pub(super) fn admits(&self, peer: &Peer, groups: &[u32]) -> bool {
        peer.uid().is_some_and(|uid| self.uids.contains(&uid))
            || peer.gid().is_some_and(|gid| self.gids.contains(&gid))
            || groups.iter().any(|gid| self.gids.contains(gid))
    }

    /// Whether the groups matter at all.
    pub(super) fn has_groups(&self) -> bool {
        !self.gids.is_empty()
    }
}
