//! [`CredentialsError`]: why there is no connection with the credentials of a client.

use std::io;
use std::time::Duration;

use crate::address::Address;
use crate::connect::ConnectError;

/// Why there is no connection with the credentials of a client.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The client has no peer credentials.
    #[error(
        "the client has no peer credentials ({0}), which UNIX sockets alone have; connect with the relay's own"
    )]
    NoPeer(#[source] io::Error),
    /// An id of the client has no mapping in our user namespace (user_namespaces(7)).
    #[error(
        "the client's {0} has no mapping in this user namespace; run where it has one, or connect with the relay's own credentials"
    )]
    UnknownId(
        /// Which one.
        &'static str,
    ),
    /// A thread could not take the ids of the client. Nothing was connected.
    #[error(
        "cannot take the ids of the client (uid {uid}, gid {gid}): {call} failed ({source}); run as root (CAP_SETUID, CAP_SETGID), or connect with the relay's own credentials"
    )]
    NotTaken {
        /// The client's user.
        uid: u32,
        /// The client's group.
        gid: u32,
        /// What has failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// This process may not take the ids of others.
    #[error(
        "connections with the credentials of clients take root (CAP_SETUID, CAP_SETGID): {0}; run as root, or connect with the relay's own credentials"
    )]
    NotPermitted(#[source] io::Error),
    /// An inherited connection (`fd:`, `systemd:`) has the credentials of whoever has made it.
    #[error(
        "the connection {} was made by somebody else, and its credentials cannot change; give a path or @name",
        .0.quoted()
    )]
    Inherited(Address),
    /// No thread could be started, or it has ended early.
    #[error(
        "cannot start a thread to connect with: {0}; allow more (ulimit -u, pids.max of the cgroup)"
    )]
    Thread(#[source] io::Error),
    /// An attempt has taken longer than the connect timeout: the path leads through a file system that
    /// does not answer, or all threads were busy.
    #[error(
        "cannot connect to {}: no answer after {waited:?} (a file system that hangs, or too many connections at once)",
        .address.quoted()
    )]
    TimedOut {
        /// Where to.
        address: Address,
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

crate::error_debug::debug_as_display!(CredentialsError);
