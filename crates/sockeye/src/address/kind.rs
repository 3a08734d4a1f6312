//! [`Kind`]: the type of a socket.

use std::fmt;

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
