//! [`TypedRelayAddress`]: an address of `relay` as typed.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye::relay::RelayAddress;
use sockeye::{AddressError, Kind, Name};

use super::address::{AddressUse, TypedAddress};
use super::unresolved::Unresolved;

/// An address to listen on.
pub(super) fn listened() -> impl TypedValueParser<Value = TypedRelayAddress> {
    OsStringValueParser::new().try_map(|text| TypedRelayAddress::parse(&text, AddressUse::Bind))
}

/// An address to connect to.
pub(super) fn target() -> impl TypedValueParser<Value = TypedRelayAddress> {
    OsStringValueParser::new().try_map(|text| TypedRelayAddress::parse(&text, AddressUse::Connect))
}

/// A UNIX address is read as every other subcommand does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypedRelayAddress {
    Unix(TypedAddress),
    /// A TCP or vsock port, or standard input and output.
    Other(RelayAddress),
}

impl TypedRelayAddress {
    pub(crate) fn parse(text: &OsStr, used_to: AddressUse) -> Result<Self, AddressError> {
        let bytes = text.as_bytes();
        if bytes == b"-" || bytes.starts_with(b"tcp:") || bytes.starts_with(b"vsock:") {
            RelayAddress::parse(text).map(Self::Other)
        } else {
            TypedAddress::parse(text, used_to).map(Self::Unix)
        }
    }

    pub(super) fn unresolved(&mut self) -> Option<Unresolved<'_>> {
        match self {
            Self::Unix(address) => Some(Unresolved::Address(address)),
            Self::Other(_) => None,
        }
    }

    pub(crate) fn unix(&self) -> Option<&TypedAddress> {
        match self {
            Self::Unix(address) => Some(address),
            Self::Other(_) => None,
        }
    }

    /// What to call once escapes are resolved.
    pub(crate) fn to_relay_address(&self) -> RelayAddress {
        match self {
            Self::Unix(address) => RelayAddress::from(sockeye::Address::clone(address)),
            Self::Other(address) => address.clone(),
        }
    }

    pub(crate) fn quoted(&self) -> String {
        match self {
            Self::Unix(address) => address.quoted(),
            Self::Other(address) => address.quoted(),
        }
    }

    /// Whether it is `-`.
    pub(crate) fn is_stdio(&self) -> bool {
        matches!(self, Self::Other(RelayAddress::Stdio))
    }

    /// The kind of its sockets; `None` where only an inherited fd tells.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Unix(address) => match address.name() {
                Name::Systemd(_) if !address.has_written_kind() => None,
                _ => Some(address.kind()),
            },
            Self::Other(RelayAddress::Stdio) => None,
            Self::Other(_) => Some(Kind::Stream),
        }
    }
}

impl fmt::Display for TypedRelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(address) => address.fmt(f),
            Self::Other(address) => address.fmt(f),
        }
    }
}
