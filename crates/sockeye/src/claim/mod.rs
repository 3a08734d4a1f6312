//! [`Claim`]: exclusive ownership of a socket address.
//!
//! A lock file beside the socket (`PATH.lock`, flock(2)) says who owns the path: of many servers
//! started at once exactly one wins, and no other touches its file. Under the lock the path is
//! probed, a stale socket file is replaced, and the socket is bound with its exact mode; nothing here
//! reads or sets the umask. The socket file is removed while the socket is
//! still open, and only if it is the one that was bound.
//!
//! ```
//! use sockeye::{Address, Claim};
//!
//! let dir = tempfile::tempdir()?;
//! let address = Address::from_path(dir.path().join("app.sock"))?;
//! let listener = Claim::options().mode(0o660).claim(&address)?.into_blocking()?;
//! assert!(Claim::options().claim(&address).is_err(), "it has one owner");
//! drop(listener);
//! assert!(!dir.path().join("app.sock").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod access;
mod blocking;
mod bound;
mod control;
pub(crate) mod displaced;
mod error;
#[cfg(feature = "tokio")]
mod inherit;
mod lock;
mod look;
mod options;
mod ownership;
pub(crate) mod place;
mod probe;
mod process_link;
pub(crate) mod publish;
#[cfg(feature = "tokio")]
mod renew;
mod server_file;
mod times;
mod unclear;
mod unreachable_parent;
pub(crate) mod wrong_kind;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::net::sockopt::set_socket_passcred;

#[cfg(feature = "tokio")]
pub(crate) use access::FileAccess;
pub use blocking::{BlockingIncoming, BlockingListener, StopHandle};
pub(crate) use control::control_address;
#[cfg(feature = "tokio")]
pub(crate) use displaced::{displaced_base, tap_lock_base};
pub use displaced::{displaced_path, tap_lock_path};
pub use error::{ClaimError, ClaimErrorKind, StrayFile};
#[cfg(feature = "tokio")]
pub(crate) use inherit::Inheritance;
#[cfg(feature = "tokio")]
pub use inherit::Mismatch;
pub(crate) use look::displaced_server;
pub use look::{probe, probe_all, probe_all_within};
pub use options::{ClaimOptions, IfExists};
pub(crate) use ownership::Ownership;
pub(crate) use place::{FileIdentity, Place};
pub use probe::Probe;
pub use process_link::ProcessLink;
#[cfg(feature = "tokio")]
pub(crate) use publish::beside;
#[cfg(feature = "tokio")]
pub(crate) use renew::Renewed;
pub use unclear::UnclearReason;
pub(crate) use unreachable_parent::{UnreachableParent, unreachable_parent};
pub use unreachable_parent::{WORKING_DIRECTORY_REMOVED, begins_in_removed};

use crate::address::{Address, Kind, Name};
use crate::inspect::lookup::Lookup;
use crate::{socket, sys};

/// The suffix of the lock file beside a socket: `PATH.lock`.
pub const LOCK_SUFFIX: &str = ".lock";
/// The suffix of the control socket, at which a successor asks for the listener: `PATH.takeover`.
pub const CONTROL_SUFFIX: &str = ".takeover";
/// So many successors may wait at a time.
const CONTROL_BACKLOG: u32 = 128;

impl ClaimOptions {
    /// Claims `address` and listens on it. Does not block, but where the file at the path may be a second
    /// view of an open socket's file: that file is looked at for at most three seconds
    /// ([`UnclearReason`]).
    ///
    /// # Errors
    /// [`ClaimError`] says what prevents the claim; nothing was changed then.
    pub fn claim(&self, address: &Address) -> Result<Claim, ClaimError> {
        let socket = self.socket(address.kind());
        self.claim_with(
            address,
            socket.map_err(|errno| ClaimError::io(address, errno))?,
        )
    }

    /// As [`Self::claim`], with a new socket of that kind.
    pub(crate) fn claim_with(
        &self,
        address: &Address,
        socket: OwnedFd,
    ) -> Result<Claim, ClaimError> {
        if self.mode > 0o777 {
            let mode = self.mode;
            return Err(ClaimError::new(address, ClaimErrorKind::NotAMode { mode }));
        }
        let control = match (self.takeover, control_address(address)) {
            (true, None) => return Err(ClaimError::new(address, ClaimErrorKind::NoTakeover)),
            (true, control) => control,
            (false, _) => None,
        };
        let path = match address.name() {
            Name::Path(path) => path,
            Name::Abstract(name) => {
                publish::abstract_name(address, self, name, &socket)?;
                return Ok(self.claimed(address, None, socket));
            }
            _ => return Err(ClaimError::new(address, ClaimErrorKind::AlreadyBound)),
        };
        if control.is_some() {
            control::has_room(address, path)?;
        }
        let place = Place::open(address, path)?;
        let lock = lock::take(address, &place).map_err(|error| by_whom(address, &place, error))?;
        let mut ownership = Ownership {
            address: address.clone(),
            options: self.clone(),
            place,
            lock,
            file: None,
            control: None,
            is_ours: true,
        };
        self.make_room(address, &ownership.place)?;
        if let Some(control) = control {
            // First, so that a successor that finds a server also finds where to ask.
            control::publish(&control, &mut ownership)?;
        }
        let Ownership { place, file, .. } = &mut ownership;
        publish::path(address, self, &socket, place, file)?;
        Ok(self.claimed(address, Some(ownership), socket))
    }

    fn claimed(&self, address: &Address, ownership: Option<Ownership>, socket: OwnedFd) -> Claim {
        Claim {
            ownership,
            socket,
            address: address.clone(),
            allows_fd_passing: self.allow_fd_passing,
        }
    }

    fn socket(&self, kind: Kind) -> Result<OwnedFd, Errno> {
        let socket = socket::new(kind, SocketFlags::empty())?;
        if self.pass_credentials {
            set_socket_passcred(&socket, true)?;
        }
        // An older kernel cannot refuse any; what comes then is closed elsewhere.
        if !self.allow_fd_passing {
            sys::socket::set_pass_rights(socket.as_fd(), false)?;
        }
        Ok(socket)
    }

    /// Removes a stale socket file from the path. The lock is held.
    fn make_room(&self, address: &Address, place: &Place) -> Result<(), ClaimError> {
        let fail = |kind| Err(ClaimError::new(address, kind));
        let (found, file) = probe::path_of_owner(place);
        if let Probe::Absent | Probe::Stale | Probe::Unclear(_) = found
            && let Some(pid) = probe::displaced(place, &Lookup::default())
        {
            return fail(ClaimErrorKind::Displaced { pid });
        }
        match (found, file) {
            (Probe::Absent, _) => Ok(()),
            // The fd is held until the file is gone: a file system could give its inode
            // number to the next one.
            (Probe::Stale, Some(dead)) if self.if_exists == IfExists::ReplaceStale => fstat(&dead)
                .and_then(|stat| place.unlink(&place.base, FileIdentity::of(&stat)))
                .map_err(|errno| match errno {
                    Errno::BUSY => {
                        ClaimError::new(address, ClaimErrorKind::MountPoint).with_source(errno)
                    }
                    errno => place.denies(address, errno),
                }),
            (Probe::Stale, _) => fail(ClaimErrorKind::Stale),
            (Probe::Live { pid }, _) => fail(ClaimErrorKind::InUse { pid }),
            (Probe::NotASocket(file), _) => fail(ClaimErrorKind::NotASocket(file)),
            (Probe::Unclear(UnclearReason::LayerChanged), _) => fail(ClaimErrorKind::LayerChanged),
            (Probe::Unclear(reason), _) => Err(ClaimError::new(address, ClaimErrorKind::Unclear)
                .with_source(io::Error::other(reason.to_string()))),
            (Probe::Unknown(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)), _) => {
                Err(ClaimError::io(address, errno))
            }
            (Probe::Unknown(errno), _) => {
                Err(ClaimError::new(address, ClaimErrorKind::Unclear).with_source(errno))
            }
        }
    }
}

/// Where the lock could not be taken, a server or a file at the path is the better explanation.
fn by_whom(address: &Address, place: &Place, error: ClaimError) -> ClaimError {
    let better = match (error.kind(), probe::at_a_glance(place)) {
        (
            ClaimErrorKind::Locked { .. }
            | ClaimErrorKind::LockDenied { .. }
            | ClaimErrorKind::ParentDenies { .. },
            Probe::Live { pid },
        ) => ClaimErrorKind::InUse { pid },
        (ClaimErrorKind::ParentDenies { .. }, Probe::NotASocket(file)) => {
            ClaimErrorKind::NotASocket(file)
        }
        (ClaimErrorKind::Locked { .. }, _) => match probe::displaced(place, &Lookup::default()) {
            Some(pid) => ClaimErrorKind::Displaced { pid },
            None => lock::held(place),
        },
        _ => return error,
    };
    ClaimError::new(address, better)
}

/// Exclusive ownership of a socket address, with the socket that listens on it.
///
/// Dropping it releases the address: the socket file is removed if it is still the one that was
/// bound, then the lock file, then the socket is closed. It is purposely not `Clone`: an address
/// has one owner.
///
/// Turn it into a blocking listener with [`Claim::into_blocking`], or into an asynchronous one with
/// `Listener::from_claim`.
#[doc(alias = "bind")]
#[doc(alias = "flock")]
#[doc(alias = "stale socket")]
#[must_use = "dropping it releases the address"]
pub struct Claim {
    // Dropped in this order: the path is given up before the socket closes.
    ownership: Option<Ownership>,
    socket: OwnedFd,
    address: Address,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    allows_fd_passing: bool,
}

impl Claim {
    /// The defaults: mode 0600, stale sockets replaced.
    #[must_use]
    pub fn options() -> ClaimOptions {
        ClaimOptions::default()
    }

    /// The address as it was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The directory of the socket, if any user may remove or replace files in it: it is writable
    /// for others and has no sticky bit. Then no lock can protect the path.
    #[must_use]
    pub fn unsafe_parent(&self) -> Option<PathBuf> {
        self.ownership.as_ref()?.unsafe_parent()
    }

    /// A listener that blocks, for servers without a runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the address is not of [`Kind::Stream`]; the error names the
    /// type for its kind.
    pub fn into_blocking(self) -> io::Result<BlockingListener> {
        let (socket, ownership) = self.into_parts(Kind::Stream)?;
        Ok(BlockingListener::new(ownership, socket))
    }

    /// Its parts, if the address is of that kind. The ownership must be dropped first, as variables
    /// in this order are.
    pub(crate) fn into_parts(self, kind: Kind) -> io::Result<(OwnedFd, Option<Ownership>)> {
        if self.address.kind() == kind {
            Ok((self.socket, self.ownership))
        } else {
            Err(wrong_kind::blocking(&self.address, kind))
        }
    }

    /// Checks that the address is of the kind that a type for tokio takes.
    #[cfg(feature = "tokio")]
    pub(crate) fn must_be(&self, kind: Option<Kind>) -> io::Result<()> {
        match kind {
            Some(kind) if self.address.kind() == kind => Ok(()),
            Some(kind) => Err(wrong_kind::asynchronous(&self.address, kind)),
            None => Err(wrong_kind::network(&self.address)),
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn allows_fd_passing(&self) -> bool {
        self.allows_fd_passing
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_ownership(self) -> Option<Ownership> {
        self.ownership
    }
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(Claim);

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("address", &self.address)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}
