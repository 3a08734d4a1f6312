//! Addresses on the command line.
//!
//! A path is taken literally, as every other tool does, backslashes and all, so that what the shell
//! completes is found. In quotes it is read as sockeye prints it, with its escapes decoded; without
//! quotes that is tried only if the literal path does not exist.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use sockeye::{Address, AddressError};

/// An address to bind: its file does not exist yet, so its directory decides which reading is meant.
pub(crate) fn to_bind(text: &OsStr) -> Result<Address, AddressError> {
    let parent_exists = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => exists(parent),
        _ => true,
    };
    read(text, parent_exists, |as_is, _| as_is)
}

/// An address to connect to.
pub(crate) fn to_connect(text: &OsStr) -> Result<Address, AddressError> {
    read(text, exists, |as_is, _| as_is)
}

/// An address to look up among the kernel's sockets: its file may be gone.
pub(crate) fn to_look_for(text: &OsStr) -> Result<Address, AddressError> {
    read(text, exists, |_, printed| printed)
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Without quotes, the first reading whose path exists: literal, then with its escapes decoded; else the
/// one that `neither` chooses.
fn read(
    text: &OsStr,
    is_there: impl Fn(&Path) -> bool,
    neither: impl Fn(Address, Address) -> Address,
) -> Result<Address, AddressError> {
    // After `--` a name may begin with a dash; as an answer shows it, it can be typed without.
    let dashed = [b"./", text.as_bytes()].concat();
    let text = match text.as_bytes() {
        [b'-', _, ..] => OsStr::from_bytes(&dashed),
        _ => text,
    };
    if let Some(printed) = without_quotes(text) {
        return Address::parse(printed);
    }
    let as_is = match Address::parse(doubled(text)) {
        Ok(address) if address.path().is_some() => address,
        _ => return Address::parse(text),
    };
    if !text.as_bytes().contains(&b'\\') {
        return Ok(as_is);
    }
    let leads = |address: &Address| address.path().is_some_and(&is_there);
    Ok(match Address::parse(text) {
        _ if leads(&as_is) => as_is,
        Ok(printed) if leads(&printed) => printed,
        Ok(printed) => neither(as_is, printed),
        Err(_) => as_is,
    })
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

    fn path(address: &Address) -> Vec<u8> {
        address.path().unwrap().as_os_str().as_bytes().to_vec()
    }

    #[test]
    fn a_path_is_taken_as_it_is_before_it_is_read_as_printed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().as_os_str().as_bytes();
        let at = |name: &[u8]| OsString::from_vec([dir, b"/", name].concat());
        let called = |name: &[u8]| path(&to_connect(&at(name)).unwrap());
        let (byte, literal) = (at(b"caf\xe9"), at(b"caf\\xe9"));

        assert_eq!(called(b"caf\\xe9"), literal.as_bytes());
        fs::write(&byte, "").unwrap();
        assert_eq!(called(b"caf\\xe9"), byte.as_bytes());
        fs::write(&literal, "").unwrap();
        assert_eq!(called(b"caf\\xe9"), literal.as_bytes());
        assert_eq!(called(b"caf\xe9"), byte.as_bytes());
        assert_eq!(called(b"caf\\\\xe9"), literal.as_bytes());
        assert_eq!(called(b"a\\b"), at(b"a\\b").as_bytes());
    }

    #[test]
    fn quotes_are_those_of_a_listing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a  b\"");
        fs::write(&file, "").unwrap();
        let printed = format!("\"{}\"", file.display()).replace("b\"\"", "b\\x22\"");
        assert_eq!(to_connect(printed.as_ref()).unwrap().path(), Some(&*file));
        let address = to_connect(format!("dgram:{printed}").as_ref()).unwrap();
        assert_eq!(address.path(), Some(&*file));
        assert_eq!(address.kind(), sockeye::Kind::Datagram);
        let other = to_connect("./\"a\"".as_ref()).unwrap();
        assert_eq!(path(&other), b"./\"a\"");
    }

    #[test]
    fn a_name_without_a_file_is_read_as_printed_where_it_is_only_looked_for() {
        let found = to_look_for("/nowhere/caf\\xe9".as_ref()).unwrap();
        assert_eq!(path(&found), b"/nowhere/caf\xe9");
        let found = to_look_for("/nowhere/caf\\e9".as_ref()).unwrap();
        assert_eq!(path(&found), b"/nowhere/caf\\e9");
    }

    #[test]
    fn a_name_that_begins_with_a_dash_is_shown_as_it_can_be_typed() {
        assert_eq!(to_connect("-x".as_ref()).unwrap().to_string(), "./-x");
        assert!(to_connect("-".as_ref()).is_err());
    }

    #[test]
    fn other_names_have_their_escapes_and_errors_their_text() {
        assert_eq!(
            to_connect("@a\\x00".as_ref()).unwrap().to_string(),
            "@a\\x00"
        );
        let error = to_connect("@a\\b".as_ref()).unwrap_err();
        assert_eq!(error.text, "@a\\b");
        assert!(
            to_connect("tcp:\\".as_ref())
                .unwrap_err()
                .to_string()
                .contains("tcp")
        );
    }
}
