//! [`probe()`]: what is at an address.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

use super::error::ClaimErrorKind;
use super::place::Place;
use super::probe::{self, Probe};
use crate::address::{Address, Name};
use crate::inspect::lookup::Lookup;

/// Finds out what is at an address, without changing anything. No server sees a connection. A
/// datagram socket that sock_diag(7) does not show here is shown as connected in its own network
/// namespace from then on, and works as before.
///
/// The answer may be outdated when it arrives; only [`ClaimOptions::claim`](super::ClaimOptions::claim)
/// probes under the lock. The answer for an `fd:` or `systemd:` address is [`Probe::Unknown`].
#[must_use]
pub fn probe(address: &Address) -> Probe {
    look(address, &Lookup::default())
}

/// As [`probe()`], for many addresses: the kernel's tables are read once.
pub fn probe_all<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<Probe> {
    probe_all_within(Lookup::PATIENCE, addresses)
}

/// As [`probe_all`]. Whether a refused connect is proof depends on the files of other sockets, which
/// may be on a mount that hangs (FUSE, NFS): all of these together are waited for no longer than
/// `patience`, instead of three seconds. What is undecided then is [`Probe::Unclear`].
pub fn probe_all_within<'a>(
    patience: Duration,
    addresses: impl IntoIterator<Item = &'a Address>,
) -> Vec<Probe> {
    let lookup = Lookup::within(patience);
    let addresses = addresses.into_iter();
    addresses.map(|address| look(address, &lookup)).collect()
}

/// The process of a running server whose socket file is still where a tap has put it, if there is one.
pub(crate) fn displaced_server(address: &Address, patience: Duration) -> Option<Option<Pid>> {
    let place = Place::open(address, address.path()?).ok()?;
    probe::displaced(&place, &Lookup::within(patience))
}

fn look(address: &Address, lookup: &Lookup) -> Probe {
    match address.name() {
        Name::Path(path) => match Place::open(address, path) {
            Ok(place) => probe::path(&place, lookup).0,
            Err(error) => match error.kind() {
                ClaimErrorKind::ParentMissing(_) | ClaimErrorKind::ParentRemoved(_) => {
                    Probe::Absent
                }
                _ => Probe::Unknown(error.errno().unwrap_or(Errno::INVAL)),
            },
        },
        Name::Abstract(name) => probe::abstract_name(address.kind(), name),
        _ => Probe::Unknown(Errno::INVAL),
    }
}
