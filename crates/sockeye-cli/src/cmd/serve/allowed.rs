//! [`Allowed`]: the users and groups that may connect.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use sockeye::{Peer, ids, peer};
use tracing::warn;

use crate::args::TypedId;

/// Checked against peer credentials; the server's own user is always allowed.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Allowed {
    /// `None` where everybody is allowed.
    pub(super) fn new(users: &[TypedId], groups: &[TypedId]) -> Option<Self> {
        if users.is_empty() && groups.is_empty() {
            return None;
        }
        let uids: Vec<u32> = users.iter().filter_map(TypedId::number).collect();
        let gids: Vec<u32> = groups.iter().filter_map(TypedId::number).collect();
        if let Some(uid) = uids.iter().find(|&&uid| ids::uid(uid).is_none()) {
            has_no_effect("--allow-user", *uid, "users");
        }
        if let Some(gid) = gids.iter().find(|&&gid| ids::gid(gid).is_none()) {
            has_no_effect("--allow-group", *gid, "groups");
        }
        Some(Self {
            uids: uids.into_iter().chain(ids::own_uid()).collect(),
            gids,
        })
    }

    /// Whether the peer of a connection is allowed.
    pub(super) fn admits(&self, peer: &Peer, socket: BorrowedFd<'_>) -> bool {
        // Unknown groups match none.
        self.admits_by_ids(peer)
            || (self.has_groups() && self.admits_one(&peer::groups(socket).unwrap_or_default()))
    }

    /// Whether the sender of a datagram is allowed; otherwise why not. The credentials of a datagram
    /// have the first group only; the supplementary ones are the process's, while it runs.
    pub(super) fn admits_sender(
        &self,
        sender: Option<&Peer>,
        process: Option<impl AsFd>,
    ) -> Result<(), &'static str> {
        let sender = sender.ok_or("who sent it is not known")?;
        if self.admits_by_ids(sender) {
            return Ok(());
        }
        if !self.has_groups() {
            return Err("no such user is allowed");
        }
        let groups = match process {
            Some(process) => peer::groups_of_process(process, sender),
            None => Err(Errno::SRCH.into()),
        };
        match groups {
            Ok(groups) if self.admits_one(&groups) => Ok(()),
            Ok(_) => Err("it is in no group that is allowed"),
            Err(error) => Err(unknown_groups(&error)),
        }
    }

    /// An unknown user or group matches none.
    fn admits_by_ids(&self, peer: &Peer) -> bool {
        peer.uid().is_some_and(|uid| self.uids.contains(&uid))
            || peer.gid().is_some_and(|gid| self.gids.contains(&gid))
    }

    fn admits_one(&self, groups: &[u32]) -> bool {
        groups.iter().any(|gid| self.gids.contains(gid))
    }

    /// Whether any group is allowed, so that supplementary groups have to be known.
    pub(super) fn has_groups(&self) -> bool {
        !self.gids.is_empty()
    }
}

/// All ids without a mapping show as this one, so it stands for nobody.
fn has_no_effect(option: &str, id: u32, all: &str) {
    warn!(
        "{option} {id} has no effect: in this user namespace {id} stands for all {all} without a mapping, so it allows nobody"
    );
}

fn unknown_groups(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::SRCH) => {
            "its first group is not allowed, and its others are not known: it has ended"
        }
        Some(Errno::PERM) => {
            "its first group is not allowed, and its others are not known: it runs as another user by now"
        }
        _ => "its first group is not allowed, and its others are not known: /proc does not tell",
    }
}
