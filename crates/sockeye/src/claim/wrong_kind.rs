//! The error where a claim is turned into a socket of another kind.

use std::io;

use crate::address::{Address, Kind};

/// Where a type that blocks was asked for, of kind `wanted`.
pub(super) fn blocking(address: &Address, wanted: Kind) -> io::Error {
    error(address, wanted, |kind| match kind {
        Kind::Stream => "Claim::into_blocking",
        Kind::SeqPacket => "BlockingSeqPacketListener::from_claim",
        Kind::Datagram => "BlockingDatagram::from_claim",
    })
}

/// Where a type for tokio was asked for, of kind `wanted`.
#[cfg(feature = "tokio")]
pub(super) fn asynchronous(address: &Address, wanted: Kind) -> io::Error {
    error(address, wanted, |kind| match kind {
        Kind::Stream => "Listener::from_claim",
        Kind::SeqPacket => "SeqPacketListener::from_claim",
        Kind::Datagram => "Datagram::from_claim",
    })
}

fn error(address: &Address, wanted: Kind, constructor: fn(Kind) -> &'static str) -> io::Error {
    let text = format!(
        "cannot listen on {}: it is a {} socket, and {} takes a {wanted} socket; use {}",
        address.quoted(),
        address.kind(),
        constructor(wanted),
        constructor(address.kind()),
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}
