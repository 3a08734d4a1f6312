//! The names of a socket in JSON.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sockeye::inspect::{BoundName, Socket};

use super::text::{address, path_address};
use crate::escape;

/// As [`address`], in JSON.
pub(crate) fn json_address(name: &BoundName) -> Cow<'_, str> {
    escape::json_address(address(name))
}

/// The address where a socket is reached, as far as is known, in JSON: the path of its file, or else the
/// name that was bound.
pub(crate) fn reached_at(socket: &Socket) -> Option<Cow<'_, str>> {
    match &socket.file_path {
        Some(path) => {
            let path = path_address(path.as_os_str().as_bytes());
            Some(escape::json_address(path))
        }
        None => socket.name.as_ref().map(json_address),
    }
}

/// As [`address_base64`], of [`reached_at`].
pub(crate) fn reached_at_base64(socket: &Socket) -> Option<String> {
    match &socket.file_path {
        Some(path) => address_base64(&BoundName::Path(path.as_os_str().as_bytes().to_vec())),
        None => socket.name.as_ref().and_then(address_base64),
    }
}

/// The bytes of a name as bind(2) took them, if the address in JSON differs from them.
pub(crate) fn address_base64(name: &BoundName) -> Option<String> {
    let (lead, bytes): (&[u8], _) = match name {
        BoundName::Path(path) => (b"", path),
        BoundName::Abstract(name) => (b"\0", name),
    };
    let shown = json_address(name);
    let is_plain = match name {
        BoundName::Path(path) => shown.as_bytes() == path,
        BoundName::Abstract(name) => str::from_utf8(name).is_ok(),
    };
    (!is_plain).then(|| STANDARD.encode([lead, bytes].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_json_has_its_bytes_beside_it_where_it_is_not_just_these() {
        let path = |path: &[u8]| BoundName::Path(path.to_vec());
        assert_eq!(address_base64(&path(b"-x")).as_deref(), Some("LXg="));
        assert_eq!(json_address(&path(b"/\xff")), "\"/\\xff\"");
        assert_eq!(address_base64(&path(b"/\xff")).as_deref(), Some("L/8="));
        assert_eq!(address_base64(&path(b"/\\")).as_deref(), Some("L1w="));
        assert_eq!(address_base64(&path("/é".as_bytes())), None);
    }
}
