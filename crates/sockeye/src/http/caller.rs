//! [`Caller`]: who has sent a request.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::process::Pid;

use crate::peer::{self, Peer};

/// Who has sent a request: the peer credentials of its connection, read once, when it was accepted. An
/// extension of each request.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Credentials>);

#[derive(Debug)]
struct Credentials {
    peer: Peer,
    groups: Vec<u32>,
}

impl Caller {
    /// That of a connected socket.
    ///
    /// # Errors
    /// As [`Peer::of`] and [`peer::groups`].
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        Ok(Self(Arc::new(Credentials {
            peer: Peer::of(&socket)?,
            groups: peer::groups(&socket)?,
        })))
    }

    /// Its user; `None` where that has no mapping in our user namespace.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.0.peer.uid()
    }

    /// Its primary group; `None` where that has no mapping in our user namespace.
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        self.0.peer.gid()
    }

    /// Its process when it connected; `None` where that is out of sight in our pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.0.peer.pid()
    }

    /// Its supplementary groups (`SO_PEERGROUPS`).
    #[must_use]
    pub fn groups(&self) -> &[u32] {
        &self.0.groups
    }
}
