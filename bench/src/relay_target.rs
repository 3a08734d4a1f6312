//! The target of the relays under test: a listening socket of our own.

use crate::client::PATIENCE;
use crate::contestants::Contestant;
use crate::rounds::Harness;
use crate::server::RunningServer;
use anyhow::Context;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub(crate) struct RelayTarget {
    listener: OwnedFd,
    path: PathBuf,
}

/// A running relay with one connection through it.
pub(crate) struct RelayedPair {
    pub(crate) client: OwnedFd,
    pub(crate) target: OwnedFd,
    pub(crate) relay: RunningServer,
}

impl RelayTarget {
    pub(crate) fn listen(directory: &Path) -> anyhow::Result<Self> {
        let path = tempfile::tempdir_in(directory)?.keep().join("target");
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let listener = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?)?;
        rustix::net::listen(&listener, 16)?;
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a relay to this target and opens its first connection; some take no other.
    pub(crate) fn join(
        &self,
        relay: &Contestant,
        harness: &Harness<'_>,
    ) -> anyhow::Result<RelayedPair> {
        let (relay, client) =
            RunningServer::start_connected(relay, harness.directory, harness.interrupt)?;
        let target = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC)
            .context("the relay does not connect to its target")?;
        Ok(RelayedPair {
            client,
            target,
            relay,
        })
    }
}
