//! [`SocketListener::open`]: a listener at any address.

use std::error::Error;
use std::fmt;
use std::io;

use super::{ConnectedSocket, SocketListener};
use crate::activation::{self, ActivationError};
use crate::address::{Address, Name};
use crate::adopt::{self, AdoptError};
use crate::claim::{ClaimError, ClaimErrorKind, ClaimOptions, wrong_kind};

/// Why [`SocketListener::open`] has no listener.
#[non_exhaustive]
pub enum ListenError {
    /// A path or an abstract name could not be claimed.
    Claim(ClaimError),
    /// The address is of another kind than the listener.
    WrongKind(io::Error),
    /// The fd of `fd:N` or `systemd:NAME` is not such a listener.
    Adopt {
        /// The address.
        address: Address,
        /// What the fd is instead.
        source: AdoptError,
    },
    /// There is no socket for `systemd:NAME`.
    Activation {
        /// The address.
        address: Address,
        /// What was passed instead.
        source: ActivationError,
    },
    /// The claimed socket could not be registered with the runtime.
    Io {
        /// The address.
        address: Address,
        /// What epoll_ctl(2) or another system call said.
        source: io::Error,
    },
}

crate::error_debug::debug_as_display!(ListenError);

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cannot = |address: &Address, source: &dyn fmt::Display| {
            write!(f, "cannot listen on {}: {source}", address.quoted())
        };
        match self {
            Self::Claim(error) => error.fmt(f),
            Self::WrongKind(error) => error.fmt(f),
            Self::Adopt { address, source } => cannot(address, source),
            Self::Activation { address, source } => cannot(address, source),
            Self::Io { address, source } => {
                cannot(address, source)?;
                f.write_str("; allow more open files (ulimit -n)")
            }
        }
    }
}

impl Error for ListenError {
    /// The text has the cause in it, so this is what is behind that.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Claim(error) => error.source(),
            Self::WrongKind(error) => error.source(),
            Self::Adopt { source, .. } => source.source(),
            Self::Activation { source, .. } => source.source(),
            Self::Io { source, .. } => source.source(),
        }
    }
}

impl From<ClaimError> for ListenError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl<S: ConnectedSocket> SocketListener<S> {
    /// Listens on any UNIX address: claims a path or an abstract name, and adopts the socket of `fd:N`, or of
    /// `systemd:NAME` ([`activation`]). An adopted socket is as it was made: of the options only
    /// [`allow_fd_passing`](ClaimOptions::allow_fd_passing) applies to it.
    ///
    /// For `fd:N` and `systemd:NAME`, call it before the program opens anything: a new fd could have
    /// the number of one that was not passed. The fd itself stays open, a duplicate is adopted. A kind
    /// that the address does not name is that of the listener; a [`NetListener`](super::NetListener) adopts
    /// TCP and vsock sockets.
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
        let is_of_kind = Some(address.kind()) == S::KIND;
        if !is_of_kind && (!is_bound || address.has_written_kind()) {
            let error = match S::KIND {
                Some(kind) => wrong_kind::asynchronous(address, kind),
                None => wrong_kind::network(address),
            };
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
