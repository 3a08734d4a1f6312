//! [`Address`]: the kind and the name of a socket, parsed and printed.
//!
//! ```
//! use sockeye::{Address, Kind, Name};
//!
//! let address: Address = "seqpacket:@jobs".parse()?;
//! assert_eq!(address.kind(), Kind::SeqPacket);
//! assert_eq!(address.name(), &Name::Abstract(b"jobs".to_vec()));
//! assert_eq!(address.to_string(), "seqpacket:@jobs");
//! # Ok::<(), sockeye::AddressError>(())
//! ```

mod escape;
mod kind;
mod parse;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use escape::{escaped, is_hidden, quoted, shell_quoted};
pub use kind::Kind;
use parse::{parse_name, split_kind};

/// The longest name that fits into `sockaddr_un.sun_path`: 108 bytes less the closing NUL of a
/// path, or the opening NUL of an abstract name (unix(7)).
pub const MAX_NAME: usize = 107;

/// How a socket is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Name {
    /// A socket file.
    Path(PathBuf),
    /// A name in the abstract namespace (unix(7)), without the leading NUL byte.
    Abstract(Vec<u8>),
    /// A file descriptor that this process inherited.
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
/// | `@name`, `@a\x00b` | an abstract name |
/// | `fd:3` | an inherited file descriptor |
/// | `systemd:web` | a socket passed by systemd |
/// | `seqpacket:/run/app.sock`, `dgram:@name` | the same names with another kind |
/// | `stream:/run/app.sock`, `unix:/run/app.sock` | the default kind, spelled out |
/// | `unix:///run/app.sock`, `unix-abstract:name` | a path and an abstract name, as gRPC writes them |
///
/// In paths and abstract names `\\` is a backslash and `\xNN` the byte NN, so that `caf\xe9` (a byte
/// that is not UTF-8) and `caf\\xe9` (a name with a backslash) differ. [`Address::from_path`] takes
/// a path without escapes.
///
/// What is printed parses back to the same address: it is the text that was parsed, with characters
/// that [`is_hidden`] and bytes that are not UTF-8 escaped. Two addresses are equal when kind and
/// name are, however they were written.
#[doc(alias = "sockaddr_un")]
#[doc(alias = "SocketAddr")]
#[derive(Clone)]
pub struct Address {
    kind: Kind,
    name: Name,
    text: OsString,
}

/// Why a text is not an [`Address`].
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} in address {text:?}; {hint}")]
pub struct AddressError {
    /// The whole text that was refused.
    pub text: OsString,
    /// The invalid part and what is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub hint: &'static str,
}

crate::error_debug::debug_as_display!(AddressError);

impl Address {
    /// Parses bytes, such as an argument or a line of a configuration. Paths need not be UTF-8, and a
    /// backslash in one is written `\\`.
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

    /// The stream socket at `path`, whatever characters are in it: backslashes are no escapes here.
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
                let written = escaped(path).to_string();
                let bytes = written.as_bytes();
                let unclear = !matches!(parse_name(bytes), Ok(Name::Path(_)))
                    || split_kind(bytes).1.len() != bytes.len();
                if unclear && !bytes.is_empty() {
                    text.extend_from_slice(b"./");
                }
                text.extend_from_slice(bytes);
            }
            Name::Abstract(bytes) => {
                text.push(b'@');
                let name = OsStr::from_bytes(bytes);
                text.extend_from_slice(escaped(name).to_string().as_bytes());
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

    /// The directory of the socket file, as written; `.` for a bare name.
    pub(crate) fn directory(&self) -> PathBuf {
        match self.path().and_then(Path::parent) {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// The text that was parsed, byte for byte; of an address that was made from its parts, the text
    /// that parses to it. [`Display`](fmt::Display) makes it safe to print.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape::made_visible(f, self.text.as_bytes())
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
    /// As it is printed.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
mod tests;
