//! [`ClaimOptions::claim_or_connect`], for single-instance tools: the first process serves, later ones
//! call it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{ConnectError, ConnectErrorKind, FIRST_PAUSE, LONGEST_PAUSE, connect_once};
use crate::address::{Address, Kind};
use crate::backoff::Backoff;
use crate::claim::{Claim, ClaimError, ClaimErrorKind, ClaimOptions};

/// How long a server that starts, stops or has a full backlog is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What [`ClaimOptions::claim_or_connect`] has got.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
#[must_use = "dropping it releases the address, or closes the connection"]
pub enum Claimed {
    /// The address: this process is the first one, and listens already.
    First(Claim),
    /// A connection to the process that listens there.
    Running(UnixStream),
}

/// Why an address could be neither claimed nor connected to.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ClaimOrConnectError {
    /// It could not be claimed, and no server can be reached.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A server has it, and cannot be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

crate::error_debug::debug_as_display!(ClaimOrConnectError);

impl ClaimOptions {
    /// Claims a stream address, or connects to the server that has it: of many processes that call this
    /// at once, one is the first and the others are connected to it. Blocks the thread for at most ten
    /// seconds, while a server starts, stops or has a full backlog.
    ///
    /// A server that stops may still close a connection unanswered that it never accepted: then call
    /// this again. Whoever may write in the directory may serve there; [`Peer`](crate::Peer) tells who
    /// does.
    ///
    /// ```no_run
    /// use std::io::{Read, Write};
    /// use sockeye::Claim;
    /// use sockeye::connect::Claimed;
    ///
    /// match Claim::options().claim_or_connect(&"/run/user/1000/editor.sock".parse()?)? {
    ///     Claimed::First(claim) => {
    ///         for stream in claim.into_blocking()?.incoming() {
    ///             let mut file = String::new();
    ///             stream?.read_to_string(&mut file)?;
    ///             println!("open {file}");
    ///         }
    ///     }
    ///     Claimed::Running(mut stream) => stream.write_all(b"notes.txt")?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ClaimOrConnectError`] says what stands in the way. An address of another kind is
    /// [`ConnectErrorKind::WrongAddressKind`]: this takes stream addresses only.
    #[doc(alias = "single instance")]
    #[doc(alias = "pid file")]
    pub fn claim_or_connect(&self, address: &Address) -> Result<Claimed, ClaimOrConnectError> {
        if address.kind() != Kind::Stream {
            let kind = ConnectErrorKind::WrongAddressKind {
                wanted: Kind::Stream,
            };
            return Err(ConnectError::new(address, kind).into());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            // First, since it is cheap and usually enough.
            let refused = match connect_once(address) {
                Ok(socket) => return Ok(Claimed::Running(blocking(address, socket)?)),
                Err(errno) => errno,
            };
            let is_over = Instant::now() >= deadline;
            if refused == Errno::AGAIN {
                if is_over {
                    let error = ConnectError::explain(address, refused, PATIENCE);
                    return Err(error.after(PATIENCE).into());
                }
            } else {
                let owned = match self.claim(address) {
                    Ok(claim) => return Ok(Claimed::First(claim)),
                    Err(error) => error,
                };
                let kind = owned.kind();
                let is_taken = matches!(
                    kind,
                    ClaimErrorKind::InUse { .. }
                        | ClaimErrorKind::Locked { .. }
                        | ClaimErrorKind::Displaced { .. }
                );
                let may_pass = matches!(refused, Errno::NOENT | Errno::CONNREFUSED);
                if is_taken && !may_pass {
                    return Err(ConnectError::explain(address, refused, PATIENCE).into());
                }
                if !is_taken || is_over {
                    return Err(owned.into());
                }
            }
            // No event tells of a server that starts or stops.
            std::thread::sleep(backoff.next_pause());
        }
    }
}

fn blocking(address: &Address, socket: OwnedFd) -> Result<UnixStream, ConnectError> {
    rustix::io::ioctl_fionbio(&socket, false)
        .map_err(|errno| ConnectError::io(address, errno.into()))?;
    Ok(socket.into())
}
