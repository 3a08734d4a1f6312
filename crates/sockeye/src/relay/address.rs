//! [`RelayAddress`]: what a relay listens on and connects to.
//!
//! ```
//! use sockeye::relay::RelayAddress;
//!
//! let address: RelayAddress = "tcp:[::1]:8080".parse()?;
//! assert_eq!(address, RelayAddress::Tcp { host: "::1".to_owned(), port: 8080 });
//! assert_eq!(address.to_string(), "tcp:[::1]:8080");
//! # Ok::<(), sockeye::AddressError>(())
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use crate::address::{Address, AddressError, shell_quoted};

/// The longest name of a host, in bytes (gethostbyname(3), `MAXDNAME`; RFC 1035).
const MAX_HOST: usize = 253;

const WRITE_TCP: &str =
    "write tcp:HOST:PORT, as tcp:localhost:80, or ./tcp:… for a file of this name";
const WRITE_VSOCK: &str =
    "write vsock:CID:PORT, as vsock:2:1024, or ./vsock:… for a file of this name";
const WRITE_HOST: &str = "write localhost or 127.0.0.1 for this machine; 0.0.0.0 or [::] listens on all of its interfaces";
const WRITE_NAME: &str = "write a name of letters, digits, dots and hyphens, an IPv4 address, or an IPv6 one in brackets";
const WRITE_BRACKETS: &str = "write it in brackets, as tcp:[::1]:80";
const WRITE_TCP_PORT: &str = "write a number from 0 to 65535";
const WRITE_VSOCK_NUMBER: &str = "write a number from 0 to 4294967295, or for the CID one of the names any, hypervisor, local and host";

/// The context ids that have a name (vsock(7), `VMADDR_CID_ANY` and others).
const CID_NAMES: [(&str, u32); 4] = [
    ("any", u32::MAX),
    ("hypervisor", 0),
    ("local", 1),
    ("host", 2),
];

/// What a relay listens on or connects to: the address of a UNIX socket, of a TCP or vsock(7) port, or
/// standard input and output.
///
/// | text | means |
/// | --- | --- |
/// | `/run/app.sock`, `seqpacket:@name`, `fd:3`, … | a UNIX socket, as [`Address`] has it |
/// | `tcp:localhost:80`, `tcp:192.0.2.1:80`, `tcp:[::1]:80` | a TCP port; an IPv6 address is in brackets |
/// | `vsock:3:1024`, `vsock:any:1024` | a vsock port: context id (CID), or its name; port |
/// | `-` | standard input and output |
/// | `./tcp:80`, `./-` | socket files of these names |
///
/// What is printed is what was parsed, but for hidden characters of a UNIX address, which are escaped;
/// it parses back to the same address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RelayAddress {
    /// A UNIX socket.
    Unix(Address),
    /// A TCP port.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        host: String,
        /// The port. To listen, 0 is one that the kernel chooses.
        port: u16,
    },
    /// A vsock port.
    Vsock {
        /// The context id: a virtual machine, or its host.
        cid: VsockCid,
        /// The port.
        port: u32,
    },
    /// Standard input and output.
    Stdio,
}

/// A context id of vsock(7): a virtual machine, or its host. Two are equal where the number is, whether
/// it was written as a number or by its name.
#[derive(Debug, Clone, Copy)]
pub struct VsockCid {
    number: u32,
    is_named: bool,
}

/// What is wrong, and what to write instead.
type RelayAddressProblem = (String, &'static str);

impl RelayAddress {
    /// Parses bytes, such as an argument or a line of a configuration. Paths need not be UTF-8, and a
    /// backslash in one is written `\\`.
    ///
    /// # Errors
    /// [`AddressError`] names the offending part.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, AddressError> {
        let text = text.as_ref();
        let parsed = match text.as_bytes() {
            b"-" => Ok(Self::Stdio),
            bytes => {
                if let Some(rest) = bytes.strip_prefix(b"tcp:") {
                    parse_tcp(&String::from_utf8_lossy(rest))
                } else if let Some(rest) = bytes.strip_prefix(b"vsock:") {
                    parse_vsock(&String::from_utf8_lossy(rest))
                } else {
                    return Address::parse(text).map(Self::Unix);
                }
            }
        };
        parsed.map_err(|(problem, hint)| AddressError {
            text: text.to_owned(),
            problem,
            hint,
        })
    }

    /// The address of the UNIX socket, if it is one.
    #[must_use]
    pub fn unix(&self) -> Option<&Address> {
        match self {
            Self::Unix(address) => Some(address),
            _ => None,
        }
    }

    /// For a sentence: as it is printed, in double quotes where it could be read as more than an
    /// address.
    #[must_use]
    pub fn quoted(&self) -> String {
        match self {
            Self::Unix(address) => address.quoted(),
            other => other.to_string(),
        }
    }

    /// For a command that is to be pasted into a shell, as [`Address::shell_quoted`].
    #[must_use]
    pub fn shell_quoted(&self) -> String {
        match self {
            Self::Unix(address) => address.shell_quoted(),
            other => shell_quoted(&other.to_string()).to_string(),
        }
    }
}

fn parse_tcp(text: &str) -> Result<RelayAddress, RelayAddressProblem> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| {
                let problem = format!("{text:?} has no closing bracket");
                (problem, WRITE_BRACKETS)
            })?;
            check_ipv6(host)?;
            let port = rest.strip_prefix(':');
            (host, port.ok_or_else(|| no_port(text, WRITE_TCP))?)
        }
        None => {
            let (host, port) = text
                .rsplit_once(':')
                .ok_or_else(|| no_port(text, WRITE_TCP))?;
            check_host(host)?;
            (host, port)
        }
    };
    let port = number(port).ok_or_else(|| {
        let problem = format!("{port:?} is not a TCP port");
        (problem, WRITE_TCP_PORT)
    })?;
    let host = host.to_owned();
    Ok(RelayAddress::Tcp { host, port })
}

fn check_host(host: &str) -> Result<(), RelayAddressProblem> {
    if host.is_empty() {
        return Err(("the host is empty".to_owned(), WRITE_HOST));
    }
    if host.contains(':') {
        let problem = format!("{host:?} is not in brackets");
        return Err((problem, WRITE_BRACKETS));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.bytes().all(is_name) || host.len() > MAX_HOST {
        return Err((format!("{host:?} is not the name of a host"), WRITE_NAME));
    }
    Ok(())
}

/// An IPv6 address, which may name the interface of a link-local one (RFC 4007): `fe80::1%eth0`.
fn check_ipv6(host: &str) -> Result<(), RelayAddressProblem> {
    let (address, interface) = host.split_once('%').unwrap_or((host, "lo"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let has_interface = !interface.is_empty() && interface.bytes().all(is_name);
    if address.parse::<Ipv6Addr>().is_err() || !has_interface {
        let problem = format!("{host:?} is not an IPv6 address");
        return Err((problem, "write other hosts without brackets"));
    }
    Ok(())
}

fn parse_vsock(text: &str) -> Result<RelayAddress, RelayAddressProblem> {
    let (cid, port) = text
        .split_once(':')
        .ok_or_else(|| no_port(text, WRITE_VSOCK))?;
    let cid = VsockCid::parse(cid).ok_or_else(|| {
        let problem = format!("{cid:?} is not a context id of vsock(7)");
        (problem, WRITE_VSOCK_NUMBER)
    })?;
    let port = number(port).ok_or_else(|| {
        let problem = format!("{port:?} is not a vsock port");
        (problem, WRITE_VSOCK_NUMBER)
    })?;
    Ok(RelayAddress::Vsock { cid, port })
}

fn no_port(text: &str, hint: &'static str) -> RelayAddressProblem {
    (format!("{text:?} has no port"), hint)
}

/// A number as it is printed: digits alone, without leading zeros.
fn number<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl VsockCid {
    /// The context id of that number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        let is_named = false;
        Self { number, is_named }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    fn parse(text: &str) -> Option<Self> {
        match CID_NAMES.into_iter().find(|&(name, _)| name == text) {
            Some((_, number)) => Some(Self {
                number,
                is_named: true,
            }),
            None => number(text).map(Self::new),
        }
    }
}

impl PartialEq for VsockCid {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for VsockCid {}

impl Hash for VsockCid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Display for VsockCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_this = |&(_, number): &(&str, u32)| self.is_named && number == self.number;
        match CID_NAMES.into_iter().find(is_this) {
            Some((name, _)) => f.write_str(name),
            None => self.number.fmt(f),
        }
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(address) => address.fmt(f),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Stdio => f.write_str("-"),
        }
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl From<Address> for RelayAddress {
    fn from(address: Address) -> Self {
        Self::Unix(address)
    }
}

#[cfg(test)]
mod tests;
