//! [`Transport`]: what a benchmark measures: a UNIX socket of a kind, or TCP to compare with.

use clap::ValueEnum;
use serde::Serialize;

/// A UNIX socket of a kind, or TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    #[value(name = "stream", alias = "unix")]
    #[serde(rename = "stream")]
    Unix,
    Seqpacket,
    #[value(name = "datagram", alias = "dgram")]
    #[serde(rename = "datagram")]
    Dgram,
    Tcp,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unix => "stream",
            Self::Seqpacket => "seqpacket",
            Self::Dgram => "datagram",
            Self::Tcp => "tcp",
        }
    }

    /// Whether a message is one record.
    pub(crate) fn has_records(self) -> bool {
        matches!(self, Self::Seqpacket | Self::Dgram)
    }
}
