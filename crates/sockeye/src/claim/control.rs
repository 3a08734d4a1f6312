//! The control socket, `PATH.takeover`, at which a successor asks for the listener.

use std::io;

use rustix::fs::FileType;

use std::path::Path;

use super::ownership::{Control, Ownership};
use super::place::{Place, name_fits};
use super::{
    CONTROL_BACKLOG, CONTROL_SUFFIX, Claim, ClaimError, ClaimErrorKind, LOCK_SUFFIX, publish,
};
use crate::address::{Address, Kind, Name};
use crate::ids;

/// The address of the control socket, if the path can be handed over.
pub(crate) fn control_address(address: &Address) -> Option<Address> {
    let mut path = address.path()?.as_os_str().to_owned();
    path.push(CONTROL_SUFFIX);
    let is_fit = address.kind() != Kind::Datagram;
    is_fit.then(|| Address::new(Kind::SeqPacket, &Name::Path(path.into())).ok())?
}

/// The better explanation is a file that is neither ours to replace nor an open socket.
fn by_what(address: &Address, place: &Place, error: ClaimError) -> ClaimError {
    let is_in_the_way = matches!(
        error.kind(),
        ClaimErrorKind::NotASocket(_)
            | ClaimErrorKind::Unclear
            | ClaimErrorKind::ParentDenies { .. }
    );
    let found = place.look_at(&place.base).ok().flatten();
    match found.filter(|_| is_in_the_way) {
        Some(found) => {
            let file = FileType::from_raw_mode(found.st_mode);
            let owner = ids::uid(found.st_uid);
            let kind = ClaimErrorKind::ForeignControlFile { file, owner };
            let not_a_socket = || io::Error::other("only dead sockets are");
            ClaimError::new(address, kind).with_source(error.source.unwrap_or_else(not_a_socket))
        }
        None => error,
    }
}

/// # Errors
/// `NameTooLong` where the control socket's name, and that of a lock for it, cannot be beside it.
pub(super) fn has_room(address: &Address, path: &Path) -> Result<(), ClaimError> {
    let added = CONTROL_SUFFIX.len() + LOCK_SUFFIX.len();
    name_fits(address, path.file_name().unwrap_or_default(), added)
}

/// Listens beside the path. The path's lock protects both.
pub(super) fn publish(address: &Address, ownership: &mut Ownership) -> Result<(), ClaimError> {
    let path = address.path().unwrap_or("".as_ref());
    let options = Claim::options().backlog(CONTROL_BACKLOG);
    let place = Place::open(address, path)?;
    // Fds go to the successor, never from it.
    let socket = options
        .socket(address.kind())
        .map_err(|errno| ClaimError::io(address, errno))?;
    if let Err(error) = options.make_room(address, &place) {
        return Err(by_what(&ownership.address, &place, error));
    }
    let control = ownership.control.insert(Control {
        place,
        file: None,
        socket,
    });
    let Control { place, file, .. } = control;
    publish::path(address, &options, &control.socket, place, file)
}
