//! File descriptors that were inherited, by their numbers: `fd:N` and `--ready-fd`.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use sockeye::adopt::{self, AdoptError};

use crate::exit::{Exit, failure};

/// Takes the fd of `--ready-fd`.
pub(super) fn ready_fd(raw: RawFd, listener: Option<&OwnedFd>) -> anyhow::Result<OwnedFd> {
    // The listener is a duplicate, and may have got this number because it was free.
    let is_ours = listener.is_some_and(|listener| listener.as_raw_fd() == raw);
    let taken = if is_ours {
        Err(AdoptError::NotOpen(raw))
    } else {
        take(raw)
    };
    taken.map_err(|error| failure(Exit::Usage, format!("cannot use --ready-fd {raw}: {error}")))
}

/// Takes an inherited fd. To be called before anything is opened. The fd is duplicated and the number
/// closed, so that dropping what is returned closes the last one.
pub(crate) fn take(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    let fd = adopt::inherited(raw)?;
    let given_up = match raw {
        0 => std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?)),
        1 | 2 => Ok(()),
        _ => nix::unistd::close(raw).map_err(std::io::Error::from),
    };
    given_up.map_err(AdoptError::Io)?;
    Ok(fd)
}
