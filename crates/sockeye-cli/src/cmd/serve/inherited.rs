//! Descriptors that were passed on to us by their numbers.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use sockeye::adopt::{self, AdoptError};

use crate::exit::{Exit, failure};

/// The descriptor to write to, checked before anything is done.
pub(super) fn ready_fd(raw: RawFd, listener: Option<&OwnedFd>) -> anyhow::Result<OwnedFd> {
    // What we have duplicated got a number that was free.
    let is_ours = listener.is_some_and(|listener| listener.as_raw_fd() == raw);
    let taken = match is_ours {
        true => Err(AdoptError::NotOpen(raw)),
        false => take(raw),
    };
    taken.map_err(|error| failure(Exit::Usage, format!("cannot use --ready-fd {raw}: {error}")))
}

/// Takes a descriptor that was passed on to us. To be called before anything is opened: the number
/// is closed then, so that the descriptor ends when we are done with it.
pub(super) fn take(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    let fd = adopt::inherited(raw)?;
    let given_up = match raw {
        0 => std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?)),
        1 | 2 => Ok(()),
        _ => nix::unistd::close(raw).map_err(std::io::Error::from),
    };
    given_up.map_err(AdoptError::Io)?;
    Ok(fd)
}
