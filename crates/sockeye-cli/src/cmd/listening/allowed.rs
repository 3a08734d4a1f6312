//! The users and groups that may connect: [`AllowedPeers`].

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use sockeye::peer::AllowedPeers;
use sockeye::{Peer, ids};
use tracing::warn;

use crate::args::TypedId;

/// The users and groups that may connect, beside the server's own user; `None` where everybody may.
pub(crate) fn allowed_peers(users: &[TypedId], groups: &[TypedId]) -> Option<AllowedPeers> {
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
    Some(AllowedPeers::new().same_user().users(uids).groups(gids))
}

/// Why the sender of a datagram is not allowed; `None` where it is.
pub(crate) fn refusal(
    allowed: &AllowedPeers,
    sender: Option<&Peer>,
    process: Option<impl AsFd>,
) -> Option<&'static str> {
    let Some(sender) = sender else {
        return Some("who sent it is not known");
    };
    match allowed.admits_sender(sender, process) {
        Ok(true) => None,
        Ok(false) if allowed.has_groups() => Some("it is in no group that is allowed"),
        Ok(false) => Some("no such user is allowed"),
        Err(error) => Some(unknown_groups(&error)),
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
