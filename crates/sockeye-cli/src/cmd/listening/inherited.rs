//! File descriptors that were inherited: `fd:N`, `systemd:NAME` and `--ready-fd`.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use sockeye::adopt::{self, AdoptError};
use sockeye::{Address, Name};

use super::systemd::PassedSockets;
use crate::exit::{Exit, failure};

/// An address of the command line, and what is done with it: `listen on`, `connect to`.
pub(crate) type Tried<'a> = (&'static str, &'a Address);

/// What was taken before anything else is opened: a new fd could get the number of one that was passed
/// on.
pub(crate) struct InheritedFds {
    /// Those of the addresses, in their order; `None` where one names no fd.
    pub(crate) sockets: Vec<Option<OwnedFd>>,
    /// That of `--ready-fd`.
    pub(crate) ready: Option<OwnedFd>,
}

impl InheritedFds {
    /// To be called once, before anything is opened.
    pub(crate) fn take(addresses: &[Tried<'_>], ready: Option<RawFd>) -> anyhow::Result<Self> {
        let mut taken = Self {
            sockets: Vec::new(),
            ready: None,
        };
        let mut passed = PassedSockets::default();
        for (tried, address) in addresses {
            let socket = match address.name() {
                Name::Fd(raw) => Some(taken.take_number(*raw).map_err(|error| {
                    let text = format!("cannot {tried} {}: {error}", address.quoted());
                    failure(Exit::Usage, text)
                })?),
                Name::Systemd(name) => Some(passed.take(tried, address, name)?),
                _ => None,
            };
            taken.sockets.push(socket);
        }
        if let Some(raw) = ready {
            let fd = taken.take_number(raw).map_err(|error| {
                failure(Exit::Usage, format!("cannot use --ready-fd {raw}: {error}"))
            })?;
            taken.ready = Some(fd);
        }
        Ok(taken)
    }

    fn take_number(&self, raw: RawFd) -> Result<OwnedFd, AdoptError> {
        // What was taken are duplicates, and one may have got this number because it was free.
        let mut ours = self.sockets.iter().flatten();
        if ours.any(|socket| socket.as_raw_fd() == raw) {
            Err(AdoptError::NotOpen(raw))
        } else {
            take(raw)
        }
    }
}

/// Takes an inherited fd. It is duplicated and the number closed, so that dropping what is returned
/// closes the last one.
fn take(raw: RawFd) -> Result<OwnedFd, AdoptError> {
    let fd = adopt::inherited(raw)?;
    let given_up = match raw {
        0 => std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?)),
        1 | 2 => Ok(()),
        _ => nix::unistd::close(raw).map_err(std::io::Error::from),
    };
    given_up.map_err(AdoptError::Io)?;
    Ok(fd)
}
