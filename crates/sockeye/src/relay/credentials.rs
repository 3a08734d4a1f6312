//! [`ClientCredentials`]: the ids of a client, for a thread to take.

mod error;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{
    CapabilitySet, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

pub use error::CredentialsError;

use crate::peer::Peer;
use crate::{ids, sys};

/// The effective user, the effective group and the supplementary groups that a client had when it
/// connected (`SO_PEERCRED`, `SO_PEERGROUPS`), each of them known.
#[doc(alias = "SO_PEERCRED")]
#[doc(alias = "SO_PEERGROUPS")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    uid: Uid,
    gid: Gid,
    /// In the order of the kernel, which sorts them.
    groups: Arc<[Gid]>,
}

impl ClientCredentials {
    /// Asks the kernel for the peer of a connected UNIX socket.
    ///
    /// # Errors
    /// [`CredentialsError::NoPeer`] where there are none, as over TCP; [`CredentialsError::UnknownId`]
    /// where one of the ids has no mapping in our user namespace ([`ids`]).
    pub fn of(client: impl AsFd) -> Result<Self, CredentialsError> {
        let client = client.as_fd();
        let peer = Peer::of(client).map_err(CredentialsError::NoPeer)?;
        let groups = sys::peer::groups(client).map_err(CredentialsError::NoPeer)?;
        let unknown = CredentialsError::UnknownId;
        let known = |&group: &u32| ids::gid(group).map(Gid::from_raw);
        let groups: Option<Arc<[Gid]>> = groups.iter().map(known).collect();
        Ok(Self {
            uid: Uid::from_raw(peer.uid().ok_or(unknown("user"))?),
            gid: Gid::from_raw(peer.gid().ok_or(unknown("group"))?),
            groups: groups.ok_or(unknown("supplementary group"))?,
        })
    }

    /// The effective user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// The effective group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid.as_raw()
    }

    /// The supplementary group ids.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = u32> {
        self.groups.iter().map(|group| group.as_raw())
    }

    /// Gives this thread the ids of the client. If it fails, the thread may have some of them, and must
    /// not be used.
    ///
    /// Only the effective ids change: a thread with the real or the saved ids of a client could be
    /// signalled and traced by it, which would end or take over this whole process (kill(2), ptrace(2)).
    ///
    /// # Errors
    /// [`CredentialsError::NotTaken`]
    pub(crate) fn take(&self) -> Result<(), CredentialsError> {
        let failed = |call| {
            move |errno: Errno| CredentialsError::NotTaken {
                uid: self.uid(),
                gid: self.gid(),
                call,
                source: errno.into(),
            }
        };
        // Raw system calls: those of libc change all threads (setuid(2), NOTES).
        set_thread_groups(&self.groups).map_err(failed("setgroups(2)"))?;
        set_thread_res_gid(None, self.gid, None).map_err(failed("setresgid(2)"))?;
        set_thread_res_uid(None, self.uid, None).map_err(failed("setresuid(2)"))?;
        if !self.uid.is_root() {
            drop_capabilities().map_err(failed("capset(2)"))?;
        }
        // A seccomp filter can report success for calls that it suppresses, as some container tools do.
        if self.are_taken().map_err(failed("getgroups(2)"))? {
            Ok(())
        } else {
            Err(failed("a check of the ids")(Errno::PERM))
        }
    }

    pub(crate) fn are_taken(&self) -> Result<bool, Errno> {
        Ok(geteuid() == self.uid && getegid() == self.gid && *getgroups()? == *self.groups)
    }
}

#[cfg(test)]
impl ClientCredentials {
    pub(super) fn with_ids(&self, uid: u32, gid: u32) -> Self {
        Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: Arc::clone(&self.groups),
        }
    }
}

/// The kernel does this where uid 0 is left, but not in a process of another user that has
/// capabilities, nor with `SECBIT_NO_SETUID_FIXUP` (capabilities(7)). They would open what is closed
/// to the client.
fn drop_capabilities() -> Result<(), Errno> {
    let mut sets = capabilities(None)?;
    if sets.effective.is_empty() {
        return Ok(());
    }
    sets.effective = CapabilitySet::empty();
    set_capabilities(None, sets)
}

/// Whether this process may take the ids of others.
///
/// # Errors
/// `EPERM` where `CAP_SETUID` or `CAP_SETGID` is missing; as capget(2).
pub(super) fn check_capabilities() -> io::Result<()> {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    if capabilities(None)?.effective.contains(needed) {
        Ok(())
    } else {
        Err(Errno::PERM.into())
    }
}
