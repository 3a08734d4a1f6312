//! [`TypedAddress`]: an address as typed.
//!
//! A path is taken literally, as every other tool does, backslashes and all, so that what the shell
//! completes is found. In quotes it is read as sockeye prints it, with its escapes decoded; without
//! quotes that is tried only if the literal path does not exist, once the subcommand runs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye::{Address, AddressError};

/// An address to connect to.
pub(super) fn connectable() -> impl TypedValueParser<Value = TypedAddress> {
    OsStringValueParser::new().try_map(|text| TypedAddress::parse(&text, AddressUse::Connect))
}

/// An address to bind.
pub(super) fn bound() -> impl TypedValueParser<Value = TypedAddress> {
    OsStringValueParser::new().try_map(|text| TypedAddress::parse(&text, AddressUse::Bind))
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressUse {
    /// Its file does not exist yet, so its directory decides which reading is meant.
    Bind,
    Connect,
    /// To look for among the kernel's sockets: its file may be gone.
    LookFor,
}

/// Read literally, until [`TypedAddress::choose_reading`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypedAddress {
    address: Address,
    /// With its escapes decoded, where that may be meant.
    decoded: Option<Address>,
    used_to: AddressUse,
}

impl TypedAddress {
    pub(crate) fn parse(text: &OsStr, used_to: AddressUse) -> Result<Self, AddressError> {
        let only = |address| Self {
            address,
            decoded: None,
            used_to,
        };
        // After `--` a name may begin with a dash; as an answer shows it, it can be typed without.
        let dashed = [b"./", text.as_bytes()].concat();
        let text = match text.as_bytes() {
            [b'-', _, ..] => OsStr::from_bytes(&dashed),
            _ => text,
        };
        if let Some(printed) = without_quotes(text) {
            return Address::parse(printed).map(only);
        }
        let address = match Address::parse(doubled(text)) {
            Ok(address) if address.path().is_some() => address,
            _ => return Address::parse(text).map(only),
        };
        let has_escapes = text.as_bytes().contains(&b'\\');
        Ok(Self {
            address,
            decoded: Address::parse(text).ok().filter(|_| has_escapes),
            used_to,
        })
    }

    /// It was parsed as one to connect to, and another option says that it is to be bound.
    pub(super) fn is_to_be_bound(&mut self) {
        self.used_to = AddressUse::Bind;
    }

    /// Chooses the first reading whose path exists: literal, then with its escapes decoded. With neither
    /// it is the literal one, but for an address that is only looked for.
    pub(crate) fn choose_reading(&mut self, exists: impl Fn(&Path) -> bool) {
        let Some(decoded) = self.decoded.take() else {
            return;
        };
        let leads = |address: &Address| match (address.path(), self.used_to) {
            (Some(path), AddressUse::Bind) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => exists(parent),
                _ => true,
            },
            (Some(path), _) => exists(path),
            (None, _) => false,
        };
        let is_looked_for = self.used_to == AddressUse::LookFor;
        if !leads(&self.address) && (is_looked_for || leads(&decoded)) {
            self.address = decoded;
        }
    }
}

/// An address that nobody typed has one reading.
impl From<Address> for TypedAddress {
    fn from(address: Address) -> Self {
        Self {
            address,
            decoded: None,
            used_to: AddressUse::Connect,
        }
    }
}

impl fmt::Display for TypedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Deref for TypedAddress {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

/// With each backslash escaped, so that it stands for itself.
fn doubled(text: &OsStr) -> OsString {
    let bytes = text.as_bytes().iter();
    let doubled = bytes.flat_map(|&byte| std::iter::repeat_n(byte, 1 + usize::from(byte == b'\\')));
    OsString::from_vec(doubled.collect())
}

/// `dgram:"/a b"` without its quotes.
fn without_quotes(text: &OsStr) -> Option<OsString> {
    let text = text.as_bytes().strip_suffix(b"\"")?;
    let at = text.iter().position(|&byte| byte == b'"')?;
    let (kind, name) = (&text[..at], &text[at + 1..]);
    let fits = (kind.is_empty() || kind.ends_with(b":")) && !name.contains(&b'"');
    fits.then(|| OsString::from_vec([kind, name].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address that is meant where `files` are all that exists.
    fn read(text: &[u8], used_to: AddressUse, files: &[&[u8]]) -> Result<Address, AddressError> {
        let mut typed = TypedAddress::parse(OsStr::from_bytes(text), used_to)?;
        typed.choose_reading(|path| files.contains(&path.as_os_str().as_bytes()));
        Ok(typed.address)
    }

    fn path(text: &[u8], used_to: AddressUse, files: &[&[u8]]) -> Vec<u8> {
        let address = read(text, used_to, files).unwrap();
        address.path().unwrap().as_os_str().as_bytes().to_vec()
    }

    #[test]
    fn a_path_is_taken_as_it_is_before_it_is_read_as_printed() {
        let (byte, literal) = (b"/d/caf\xe9".as_slice(), b"/d/caf\\xe9".as_slice());
        let called = |text: &[u8], files: &[&[u8]]| path(text, AddressUse::Connect, files);

        assert_eq!(called(literal, &[]), literal);
        assert_eq!(called(literal, &[byte]), byte);
        assert_eq!(called(literal, &[byte, literal]), literal);
        assert_eq!(called(byte, &[byte, literal]), byte);
        assert_eq!(called(b"/d/caf\\\\xe9", &[byte, literal]), literal);
        assert_eq!(called(b"/d/a\\b", &[]), b"/d/a\\b");
    }

    #[test]
    fn the_directory_decides_how_a_path_to_bind_is_read() {
        let text = b"/d\\x20/a".as_slice();
        assert_eq!(path(text, AddressUse::Bind, &[]), text);
        assert_eq!(path(text, AddressUse::Bind, &[b"/d "]), b"/d /a");
        assert_eq!(path(text, AddressUse::Bind, &[b"/d ", b"/d\\x20"]), text);
        assert_eq!(path(b"a\\x20", AddressUse::Bind, &[b"a "]), b"a\\x20");
    }

    #[test]
    fn quotes_are_those_of_a_listing() {
        let called = |text: &[u8]| read(text, AddressUse::Connect, &[b"/d/a  b\""]).unwrap();
        let file = Path::new("/d/a  b\"");
        assert_eq!(called(br#""/d/a  b\x22""#).path(), Some(file));
        let address = called(br#"dgram:"/d/a  b\x22""#);
        assert_eq!(address.path(), Some(file));
        assert_eq!(address.kind(), sockeye::Kind::Datagram);
        assert_eq!(called(br#"./"a""#).path(), Some(Path::new("./\"a\"")));
    }

    #[test]
    fn a_name_without_a_file_is_read_as_printed_where_it_is_only_looked_for() {
        let found = |text: &[u8]| path(text, AddressUse::LookFor, &[]);
        assert_eq!(found(b"/nowhere/caf\\xe9"), b"/nowhere/caf\xe9");
        assert_eq!(found(b"/nowhere/caf\\e9"), b"/nowhere/caf\\e9");
    }

    #[test]
    fn a_name_that_begins_with_a_dash_is_shown_as_it_can_be_typed() {
        let called = |text: &[u8]| read(text, AddressUse::Connect, &[]);
        assert_eq!(called(b"-x").unwrap().to_string(), "./-x");
        assert!(called(b"-").is_err());
    }

    #[test]
    fn other_names_have_their_escapes_and_errors_their_text() {
        let called = |text: &[u8]| read(text, AddressUse::Connect, &[]);
        assert_eq!(called(b"@a\\x00").unwrap().to_string(), "@a\\x00");
        assert_eq!(called(b"@a\\b").unwrap_err().text, "@a\\b");
        let error = called(b"tcp:\\").unwrap_err();
        assert!(error.to_string().contains("tcp"));
    }
}
