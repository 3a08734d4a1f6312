//! [`SocketListener::open`]: a listener at any address.

use std::io;

use super::{ConnectedSocket, SocketListener};
use crate::activation::{self, ActivationError};
use crate::address::{Address, Name};
use crate::adopt::{self, AdoptError};
use crate::claim::{ClaimError, ClaimErrorKind, ClaimOptions, wrong_kind};

/// Why [`SocketListener::open`] has no listener.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A path or an abstract name could not be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The address is of another kind than the listener.
    #[error(transparent)]
    WrongKind(io::Error),
    /// The fd of `fd:N` or `systemd:NAME` is not such a listener.
    #[error("cannot listen on {}: {source}", .address.quoted())]
    Adopt {
        /// The address.
        address: Address,
        /// What the fd is instead.
        source: AdoptError,
    },
    /// There is no socket for `systemd:NAME`.
    #[error("cannot listen on {}: {source}", .address.quoted())]
    Activation {
        /// The address.
        address: Address,
        /// What was passed instead.
        source: ActivationError,
    },
    /// The claimed socket could not be registered with the runtime.
    #[error("cannot listen on {}: {source}; allow more open files (ulimit -n)", .address.quoted())]
    Io {
        /// The address.
        address: Address,
        /// What epoll_ctl(2) or another system call said.
        source: io::Error,
    },
}

crate::error_debug::debug_as_display!(ListenError);

impl<S: ConnectedSocket> SocketListener<S> {
    /// Listens on any address: claims a path or an abstract name, and adopts the socket of `fd:N`, or of
    /// `systemd:NAME` ([`activation`]). An adopted socket is as it was made: of the options only
    /// [`allow_fd_passing`](ClaimOptions::allow_fd_passing) applies to it.
    ///
    /// For `fd:N` and `systemd:NAME`, call it before the program opens anything: a new fd could have
    /// the number of one that was not passed. The fd itself stays open, a duplicate is adopted. A kind
    /// that the address does not name is that of the listener.
    ///
    /// ```no_run
    /// use sockeye::{Claim, Listener};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let address = std::env::args().nth(1).unwrap_or("/run/app.sock".to_owned());
    /// let listener = Listener::open(&address.parse()?, &Claim::options().mode(0o660))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ListenError`] says what stands in the way.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[doc(alias = "bind")]
    #[doc(alias = "socket activation")]
    #[track_caller]
    pub fn open(address: &Address, options: &ClaimOptions) -> Result<Self, ListenError> {
        let adopt_error = |source| ListenError::Adopt {
            address: address.clone(),
            source,
        };
        let is_bound = matches!(address.name(), Name::Fd(_) | Name::Systemd(_));
        if address.kind() != S::KIND && (!is_bound || address.has_written_kind()) {
            let error = wrong_kind::asynchronous(address, S::KIND);
            return Err(ListenError::WrongKind(error));
        }
        if is_bound && options.allows_takeover() {
            return Err(ClaimError::new(address, ClaimErrorKind::NoTakeover).into());
        }
        let fd = match address.name() {
            Name::Fd(raw) => adopt::inherited(*raw).map_err(adopt_error)?,
            Name::Systemd(name) => match passed(name) {
                Ok(fd) => fd,
                Err(source) => {
                    let address = address.clone();
                    return Err(ListenError::Activation { address, source });
                }
            },
            Name::Path(_) | Name::Abstract(_) => {
                let claim = options.claim(address)?;
                return match Self::from_claim(claim) {
                    Ok(listener) => Ok(listener),
                    Err(source) => {
                        let address = address.clone();
                        Err(ListenError::Io { address, source })
                    }
                };
            }
        };
        let mut listener = match Self::adopt(fd) {
            Ok(listener) => listener,
            Err(source) => return Err(adopt_error(source)),
        };
        let allowed = listener.allow_fd_passing(options.allows_fd_passing());
        allowed.map_err(|error| adopt_error(AdoptError::Io(error)))?;
        Ok(listener)
    }
}

fn passed(name: &str) -> Result<std::os::fd::OwnedFd, ActivationError> {
    Ok(activation::select(activation::passed()?, name)?.fd)
}
