//! [`RelayError`]: why two connections cannot be joined.

use std::io;

use super::credentials::CredentialsError;

/// Why two connections cannot be joined.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// One has records and the other has none.
    #[error(
        "one side is a seqpacket socket, the other a stream; records would lose their boundaries: join two of one kind"
    )]
    KindsDiffer,
    /// Fds are to be passed on, and one side is no UNIX socket.
    #[error(
        "one side is no UNIX socket, and file descriptors pass between UNIX sockets only; refuse them"
    )]
    CannotPassFds,
    /// The credentials of the client are to be forwarded, and it has none.
    #[error(transparent)]
    NoCredentials(#[from] CredentialsError),
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

crate::error_debug::debug_as_display!(RelayError);
