//! [`Address`]: which socket is meant, as people write it.

mod parse;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use parse::{escape_abstract, parse_name, split_kind};

/// The longest name that fits into `sockaddr_un.sun_path`: 108 bytes less the closing NUL of a
/// path, or the opening NUL of an abstract name (unix(7)).
pub const MAX_NAME: usize = 107;

/// The type of a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `SOCK_STREAM`: a byte stream.
    Stream,
    /// `SOCK_SEQPACKET`: connections that keep record boundaries.
    SeqPacket,
    /// `SOCK_DGRAM`: single datagrams.
    Datagram,
}

impl Kind {
    /// The prefix that selects this kind in an address, without the colon.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::SeqPacket => "seqpacket",
            Self::Datagram => "dgram",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::SeqPacket => "seqpacket",
            Self::Datagram => "datagram",
        })
    }
}

/// How a socket is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Name {
    /// A socket file.
    Path(PathBuf),
    /// A name in the abstract namespace (unix(7)), without the leading NUL byte.
    Abstract(Vec<u8>),
    /// A descriptor that this process inherited.
    Fd(RawFd),
    /// A socket passed by systemd under this name; empty for the only one.
    Systemd(String),
}

/// The address of a UNIX socket: a [`Kind`] and a [`Name`], written `[kind:]name`.
///
/// | text | means |
/// | --- | --- |
/// | `/run/app.sock`, `app.sock` | a stream socket at a path |
/// | `./@file` | a path that begins with `@` |
/// | `@name`, `@a\x00b` | an abstract name; `\xNN` stands for a byte that is not text |
/// | `fd:3` | an inherited descriptor |
/// | `systemd:web` | a socket passed by systemd |
/// | `seqpacket:/run/app.sock`, `dgram:@name` | the same names with another kind |
/// | `stream:/run/app.sock`, `unix:/run/app.sock` | the default kind, spelled out |
///
/// What parses is printed back the same. Two addresses are equal when kind and name are, however
/// they were written.
///
/// ```
/// use sockeye::{Address, Kind, Name};
///
/// let address: Address = "seqpacket:@jobs".parse()?;
/// assert_eq!(address.kind(), Kind::SeqPacket);
/// assert_eq!(address.name(), &Name::Abstract(b"jobs".to_vec()));
/// assert_eq!(address.to_string(), "seqpacket:@jobs");
/// # Ok::<(), sockeye::AddressError>(())
/// ```
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    name: Name,
    text: OsString,
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} in address {text:?}; {hint}")]
pub struct AddressError {
    /// The whole text that was refused.
    pub text: OsString,
    /// The part at fault and what is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl Address {
    /// Parses raw bytes, as they come from a command line. Paths need not be UTF-8.
    ///
    /// # Errors
    /// [`AddressError`] names the offending part.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, AddressError> {
        let text = text.as_ref();
        let fail = |(problem, hint)| AddressError {
            text: text.to_owned(),
            problem,
            hint,
        };
        let (kind, rest) = split_kind(text.as_bytes());
        let name = parse_name(rest).map_err(fail)?;
        Ok(Self {
            kind,
            name,
            text: text.to_owned(),
        })
    }

    /// The stream socket at `path`, whatever characters the path begins with.
    ///
    /// # Errors
    /// As [`Address::parse`]: an empty path, a NUL byte in it, or one that names a directory.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, AddressError> {
        Self::new(Kind::Stream, &Name::Path(path.as_ref().to_owned()))
    }

    /// An address from its parts.
    ///
    /// # Errors
    /// As [`Address::parse`], where the name has no written form.
    pub fn new(kind: Kind, name: &Name) -> Result<Self, AddressError> {
        let mut text = match kind {
            Kind::Stream => Vec::new(),
            other => format!("{}:", other.prefix()).into_bytes(),
        };
        match name {
            Name::Path(path) => {
                let bytes = path.as_os_str().as_bytes();
                let unclear = !matches!(parse_name(bytes), Ok(Name::Path(_)))
                    || split_kind(bytes).1.len() != bytes.len();
                if unclear && !bytes.is_empty() {
                    text.extend_from_slice(b"./");
                }
                text.extend_from_slice(bytes);
            }
            Name::Abstract(bytes) => {
                text.push(b'@');
                text.extend_from_slice(escape_abstract(bytes).as_bytes());
            }
            Name::Fd(fd) => text.extend_from_slice(format!("fd:{fd}").as_bytes()),
            Name::Systemd(unit) => text.extend_from_slice(format!("systemd:{unit}").as_bytes()),
        }
        Self::parse(OsString::from_vec(text))
    }

    /// The kind of socket.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the text names the kind, rather than leave it to the default.
    #[must_use]
    pub fn has_written_kind(&self) -> bool {
        split_kind(self.text.as_bytes()).1.len() < self.text.len()
    }

    /// The name of the socket.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The socket file, if the name is a path.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.name {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The text that was parsed, byte for byte. [`Display`](fmt::Display) prints the same, but
    /// shows bytes that are not UTF-8 as `\xNN`.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.text.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .finish()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.name.hash(state);
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Address {
    /// As the text. A path that is not UTF-8 has none and is an error.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Err(serde::ser::Error::custom(format!(
                "address {self} is not UTF-8"
            ))),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> String {
        Address::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn kinds_and_names() {
        let cases: [(&str, Kind, Name); 11] = [
            (
                "/run/a.sock",
                Kind::Stream,
                Name::Path("/run/a.sock".into()),
            ),
            ("unix:a", Kind::Stream, Name::Path("a".into())),
            ("stream:@a", Kind::Stream, Name::Abstract(b"a".to_vec())),
            ("datagram:a", Kind::Datagram, Name::Path("a".into())),
            ("seqpacket:/x", Kind::SeqPacket, Name::Path("/x".into())),
            ("dgram:@n", Kind::Datagram, Name::Abstract(b"n".to_vec())),
            (
                "@a\\x00\\x5cb",
                Kind::Stream,
                Name::Abstract(b"a\0\\b".to_vec()),
            ),
            ("./@file", Kind::Stream, Name::Path("./@file".into())),
            ("fd:3", Kind::Stream, Name::Fd(3)),
            ("systemd:", Kind::Stream, Name::Systemd(String::new())),
            ("a:b", Kind::Stream, Name::Path("a:b".into())),
        ];
        for (text, kind, name) in cases {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.kind(), address.name()), (kind, &name), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn errors_name_the_part() {
        assert!(problem("").contains("empty"));
        assert!(problem("unix:").contains("empty"));
        assert!(problem("@").contains("abstract name is empty"));
        assert!(problem("@a\\q").contains("\\\\q"));
        assert!(problem("@a\\x1").contains("not an escape"));
        assert!(problem("fd:x1").contains("\"x1\""));
        assert!(problem("fd:-1").contains("\"-1\""));
        assert!(problem("tcp:localhost:80").contains("tcp:"));
        assert!(problem("dir/").contains("directory"));
        assert!(problem("..").contains("directory"));
        assert!(problem("-").contains("./-"));
        assert!(problem("a\0b").contains("offset 1"));
        assert!(problem(&format!("@{}", "x".repeat(108))).contains("108 bytes"));
        assert!(problem("systemd:a:b").contains("a:b"));
    }

    #[test]
    fn paths_that_look_like_something_else_are_made_clear() {
        for path in [
            "@x",
            "fd:1",
            "unix:a",
            "stream:a",
            "tcp:1",
            "-",
            "systemd:x",
        ] {
            let address = Address::from_path(path).unwrap();
            assert_eq!(address.path(), Some(Path::new(&format!("./{path}"))));
        }
        let bytes = OsStr::from_bytes(b"/tmp/\xff");
        let address = Address::from_path(bytes).unwrap();
        assert_eq!(address.as_os_str(), bytes);
        assert_eq!(address.to_string(), "/tmp/\\xff");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_uses_the_text() {
        let address: Address = serde_json::from_str("\"dgram:@a\\\\x01\"").unwrap();
        assert_eq!(address.name(), &Name::Abstract(vec![b'a', 1]));
        assert_eq!(
            serde_json::to_string(&address).unwrap(),
            "\"dgram:@a\\\\x01\""
        );
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Stream),
            Just(Kind::SeqPacket),
            Just(Kind::Datagram)
        ]
    }

    proptest! {
        #[test]
        fn any_abstract_name_round_trips(kind in kinds(), name in prop::collection::vec(any::<u8>(), 1..=MAX_NAME)) {
            let address = Address::new(kind, &Name::Abstract(name)).unwrap();
            prop_assert_eq!(&address.to_string().parse::<Address>().unwrap(), &address);
        }

        #[test]
        fn any_path_round_trips(kind in kinds(), bytes in prop::collection::vec(1u8.., 1..300)) {
            let path = PathBuf::from(OsStr::from_bytes(&bytes));
            if let Ok(address) = Address::new(kind, &Name::Path(path.clone())) {
                let again = Address::parse(address.as_os_str()).unwrap();
                prop_assert_eq!(&again, &address);
                let clear = Path::new(".").join(&path);
                prop_assert!(again.path() == Some(&path) || again.path() == Some(&clear));
            }
        }

        #[test]
        fn whatever_parses_prints_the_same(text in any::<String>()) {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(address.to_string(), text);
            }
        }
    }
}
