//! [`uri`]: the URI of a request to a UNIX socket, and the address in it.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use http::Uri;
use http::uri::PathAndQuery;

use crate::address::{Address, AddressError, Kind, Name, escaped};

/// Before the hexadecimal digits, in the user information of the authority.
const MARK: &str = "unix-";
/// The host, and what clients send in the `Host` header field.
const HOST: &str = "localhost";

/// The URI of `path_and_query` at the server of `address`, for [`Connector`](super::Connector):
/// `http://unix-HEX@localhost/v1`, where HEX are the bytes of the path, or a zero byte and those of the
/// abstract name, as unix(7) has them in `sun_path`. So each socket address is another authority, which
/// is what clients pool connections by, and the host is `localhost` for all.
///
/// gRPC's names of addresses are understood by [`Address::parse`]: `unix:PATH`, `unix:///PATH` and
/// `unix-abstract:NAME`. A relative path is one of the working directory at the time of connecting.
///
/// ```
/// use sockeye::{Address, http};
///
/// let uri = http::uri(&"/run/app.sock".parse()?, "/v1/items?limit=3")?;
/// assert_eq!(uri, "http://unix-2f72756e2f6170702e736f636b@localhost/v1/items?limit=3");
/// let uri = http::uri(&"unix-abstract:app".parse()?, "/")?;
/// assert_eq!(uri, "http://unix-00617070@localhost/");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`UriError`]: the address is no stream socket to call, or the path does not begin with `/`, or has
/// characters that must be percent-encoded.
#[doc(alias = "hyperlocal")]
pub fn uri(address: &Address, path_and_query: &str) -> Result<Uri, UriError> {
    let (first, name) = match address.name() {
        Name::Path(path) => (None, path.as_os_str().as_bytes()),
        Name::Abstract(name) => (Some(0), name.as_slice()),
        _ => return Err(UriError::NotCallable(address.clone())),
    };
    if address.kind() != Kind::Stream {
        return Err(UriError::NotAStream(address.clone()));
    }
    let bad_path = |why: &dyn fmt::Display| UriError::BadPath {
        address: address.clone(),
        path: path_and_query.to_owned(),
        why: why.to_string(),
    };
    if !path_and_query.starts_with('/') {
        return Err(bad_path(&"does not begin with /"));
    }
    let path: PathAndQuery = match path_and_query.parse() {
        Ok(path) => path,
        Err(error) => return Err(bad_path(&format_args!("has an {error}"))),
    };
    let mut authority = String::with_capacity(MARK.len() + 2 * name.len() + 3 + HOST.len());
    authority.push_str(MARK);
    for byte in first.iter().chain(name) {
        // It cannot fail.
        let _ = write!(authority, "{byte:02x}");
    }
    authority.push('@');
    authority.push_str(HOST);
    let built = Uri::builder().scheme("http").authority(authority);
    built
        .path_and_query(path)
        .build()
        .map_err(|error| bad_path(&error))
}

/// The address that a URI names: one of [`uri`], or gRPC's `unix:NAME` and `unix-abstract:NAME` as far as
/// a [`Uri`] can be that.
pub(super) fn address_of(uri: &Uri) -> Result<Address, UriError> {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let found = if uri.scheme().is_none()
        && (authority.starts_with("unix:") || authority.starts_with("unix-abstract:"))
    {
        Address::parse(authority)
    } else {
        match sun_path(authority) {
            Some(name) => named(name),
            None => return Err(UriError::NoAddress(authority.to_owned())),
        }
    };
    found.map_err(UriError::Address)
}

/// The bytes in hexadecimal digits.
fn sun_path(authority: &str) -> Option<Vec<u8>> {
    let digits = authority
        .strip_prefix(MARK)?
        .strip_suffix(HOST)?
        .strip_suffix('@')?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

fn named(mut name: Vec<u8>) -> Result<Address, AddressError> {
    let name = if name.first() == Some(&0) {
        name.remove(0);
        Name::Abstract(name)
    } else {
        Name::Path(PathBuf::from(OsString::from_vec(name)))
    };
    Address::new(Kind::Stream, &name)
}

/// Why there is no URI for an address, or no address in a URI.
#[non_exhaustive]
pub enum UriError {
    /// The address names a socket of this process (`fd:`, `systemd:`).
    NotCallable(Address),
    /// The address is of another kind.
    NotAStream(Address),
    /// The path and query are not those of a URI.
    BadPath {
        /// Where the request was to go.
        address: Address,
        /// The path and query.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The authority is not one that [`uri`] has made.
    NoAddress(String),
    /// The name in the URI is not one of a socket.
    Address(AddressError),
}

crate::error_debug::debug_as_display!(UriError);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCallable(address) => write!(
                f,
                "no URI for {}: it is a socket of this process; use the address that its server listens on",
                address.quoted()
            ),
            Self::NotAStream(address) => write!(
                f,
                "no URI for {}: it is a {} address; HTTP takes a stream",
                address.quoted(),
                address.kind()
            ),
            Self::BadPath { address, path, why } => write!(
                f,
                "no URI for {}: the path {path:?} {why}; write it as in /v1/items?limit=3, and other characters as \
                 %20 (percent-encoding)",
                address.quoted()
            ),
            Self::NoAddress(authority) => write!(
                f,
                "cannot connect to \"{}\": that is not a UNIX socket; make the URI with sockeye::http::uri, \
                 or set http::Connector::address",
                escaped(authority)
            ),
            Self::Address(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UriError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::MAX_NAME;
    use proptest::prelude::*;

    fn said(result: Result<Uri, UriError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_has_no_uri_is_named_with_the_reason() {
        let uri = |address: &str, path| uri(&address.parse().unwrap(), path);
        assert!(said(uri("fd:3", "/")).contains("socket of this process"));
        assert!(said(uri("seqpacket:/a", "/")).contains("is a seqpacket address"));
        assert!(said(uri("/a", "v1")).contains("\"v1\" does not begin with /"));
        assert!(said(uri("/a", "")).contains("\"\" does not begin with /"));
        assert!(said(uri("/a", "/a b")).contains("invalid uri character"));
        assert!(said(uri("/a", "/\n")).contains("\"/\\n\""));
    }

    #[test]
    fn foreign_uris_have_no_address() {
        for text in [
            "http://localhost/",
            "http://example.com/",
            "http://unix-2f61@example.com/",
            "http://unix-2f6@localhost/",
            "http://unix-2g@localhost/",
            "http://user@localhost/",
            "http://unix-2f61@localhost:80/",
            "/only/a/path",
        ] {
            let error = address_of(&text.parse().unwrap()).unwrap_err();
            assert!(matches!(error, UriError::NoAddress(_)), "{text}: {error}");
        }
        for text in ["http://unix-@localhost/", "http://unix-00@localhost/"] {
            let error = address_of(&text.parse().unwrap()).unwrap_err();
            assert!(matches!(error, UriError::Address(_)), "{text}: {error}");
        }
    }

    #[test]
    fn the_names_of_grpc_that_a_uri_can_be_are_addresses() {
        for (text, address) in [("unix:app.sock", "app.sock"), ("unix-abstract:app", "@app")] {
            let found = address_of(&text.parse().unwrap()).unwrap();
            assert_eq!(found, address.parse().unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_path_comes_back(path in prop::collection::vec(1u8.., 1..5000)) {
            if let Ok(address) = Address::from_path(std::ffi::OsStr::from_bytes(&path)) {
                let found = address_of(&uri(&address, "/v1").unwrap()).unwrap();
                prop_assert_eq!(found, address);
            }
        }

        #[test]
        fn any_abstract_name_comes_back(name in prop::collection::vec(any::<u8>(), 1..MAX_NAME)) {
            let address = Address::new(Kind::Stream, &Name::Abstract(name)).unwrap();
            let found = address_of(&uri(&address, "/v1").unwrap()).unwrap();
            prop_assert_eq!(found, address);
        }
    }
}
