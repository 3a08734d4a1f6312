//! [`Endpoint`]: the server of a benchmark: a UNIX socket of any kind, or TCP to compare with.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser};
use sockeye::{Kind, Name};

use super::address::{AddressUse, TypedAddress};
use crate::transport::Transport;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Unix(TypedAddress),
    /// `HOST:PORT`
    Tcp(String),
}

impl Endpoint {
    pub(crate) fn parse(text: &OsString) -> Result<Self, String> {
        let Some(rest) = text.as_bytes().strip_prefix(b"tcp:") else {
            let address = TypedAddress::parse(text, AddressUse::Connect);
            let address = address.map_err(|error| error.to_string())?;
            return match address.name() {
                Name::Path(_) | Name::Abstract(_) => Ok(Self::Unix(address)),
                _ => Err(
                    "many connections cannot go through one descriptor; write a path, @name or tcp:HOST:PORT"
                        .to_owned(),
                ),
            };
        };
        let port = |(_, port): (&str, &str)| port.parse::<u16>().is_ok_and(|port| port > 0);
        match str::from_utf8(rest) {
            Ok(rest) if rest.rsplit_once(':').is_some_and(port) => Ok(Self::Tcp(rest.to_owned())),
            _ => Err("write tcp:HOST:PORT, as in tcp:127.0.0.1:8080".to_owned()),
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Unix(address) => match address.kind() {
                Kind::Stream => Transport::Unix,
                Kind::SeqPacket => Transport::Seqpacket,
                Kind::Datagram => Transport::Dgram,
            },
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(address) => address.fmt(f),
            Self::Tcp(rest) => write!(f, "tcp:{rest}"),
        }
    }
}

pub(super) fn endpoint() -> impl TypedValueParser<Value = Endpoint> {
    OsStringValueParser::new().try_map(|text| Endpoint::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_and_tcp() {
        let parse = |text: &str| Endpoint::parse(&text.into());
        for (text, transport) in [
            ("/run/app.sock", Transport::Unix),
            ("seqpacket:@jobs", Transport::Seqpacket),
            ("dgram:/dev/log", Transport::Dgram),
            ("tcp:localhost:80", Transport::Tcp),
            ("tcp:[::1]:80", Transport::Tcp),
        ] {
            let endpoint = parse(text).unwrap();
            assert_eq!(endpoint.transport(), transport);
            assert_eq!(endpoint.to_string(), text);
        }
        for bad in [
            "",
            "tcp:",
            "tcp:80",
            "tcp:host:http",
            "tcp:host:0",
            "fd:3",
            "systemd:",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
