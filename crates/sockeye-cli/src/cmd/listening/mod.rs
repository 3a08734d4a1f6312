//! The listening side of a server: startup, its socket, signals, restart, and the service manager.

pub(crate) mod allowed;
pub(crate) mod failures;
pub(crate) mod inherited;
pub(crate) mod lifecycle;
mod notify;
pub(crate) mod received_fds;
mod restart;
pub(crate) mod server;
mod signals;
pub(crate) mod socket;
pub(crate) mod startup;
pub(crate) mod systemd;

use crate::args::{ListenOptions, TypedAddress};

/// Which UNIX socket to listen on, and how.
#[derive(Clone, Copy)]
pub(crate) struct ListeningSide<'a> {
    pub(crate) address: &'a TypedAddress,
    pub(crate) options: &'a ListenOptions,
    /// Whether clients may pass fds.
    pub(crate) allows_fd_passing: bool,
    /// Whether the kernel adds the credentials of the sender to each message.
    pub(crate) reports_credentials: bool,
}
