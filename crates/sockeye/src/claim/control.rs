//! The socket at which a successor may ask, beside the path.

use super::ownership::{Control, Ownership};
use super::place::Place;
use super::{CONTROL_BACKLOG, CONTROL_SUFFIX, Claim, ClaimError, publish};
use crate::address::{Address, Kind, Name};

/// The address at which a successor may ask for this one, if it can be handed over.
pub(crate) fn control_address(address: &Address) -> Option<Address> {
    let mut path = address.path()?.as_os_str().to_owned();
    path.push(CONTROL_SUFFIX);
    let is_fit = address.kind() != Kind::Datagram;
    is_fit.then(|| Address::new(Kind::SeqPacket, &Name::Path(path.into())).ok())?
}

/// Listens beside the path, which is locked: that lock is enough for both.
pub(super) fn publish(address: &Address, ownership: &mut Ownership) -> Result<(), ClaimError> {
    let path = address.path().unwrap_or("".as_ref());
    let options = Claim::options().backlog(CONTROL_BACKLOG);
    let place = Place::open(address, path)?;
    // Descriptors go the other way, to the successor.
    let socket = options
        .socket(address.kind())
        .map_err(|errno| ClaimError::io(address, errno))?;
    options.make_room(address, &place)?;
    let control = ownership.control.insert(Control {
        place,
        file: None,
        socket,
    });
    let Control { place, file, .. } = control;
    publish::path(address, &options, &control.socket, place, file)
}
