//! The error where a claim is turned into a socket of another kind.

use std::io;

use crate::address::{Address, Kind};

/// Where a type that blocks was asked for, of kind `wanted`.
pub(super) fn blocking(address: &Address, wanted: Kind) -> io::Error {
    error(address, wanted, |kind| match kind {
        Kind::Stream => "BlockingListener",
        Kind::SeqPacket => "BlockingSeqPacketListener",
        Kind::Datagram => "BlockingDatagram",
    })
}

/// Where a type for tokio was asked for, of kind `wanted`.
#[cfg(feature = "tokio")]
pub(crate) fn asynchronous(address: &Address, wanted: Kind) -> io::Error {
    error(address, wanted, type_for_tokio)
}

/// Where a listener for TCP or vsock was asked for.
#[cfg(feature = "tokio")]
pub(crate) fn network(address: &Address) -> io::Error {
    let type_of = type_for_tokio(address.kind());
    let text = format!(
        "cannot listen on {}: it is a UNIX socket, and NetListener takes TCP and vsock sockets; use {type_of}",
        address.quoted(),
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(feature = "tokio")]
fn type_for_tokio(kind: Kind) -> &'static str {
    match kind {
        Kind::Stream => "Listener",
        Kind::SeqPacket => "SeqPacketListener",
        Kind::Datagram => "Datagram",
    }
}

fn error(address: &Address, wanted: Kind, type_of: fn(Kind) -> &'static str) -> io::Error {
    let text = format!(
        "cannot listen on {}: it is a {} socket, and {} takes a {wanted} socket; use {}",
        address.quoted(),
        address.kind(),
        type_of(wanted),
        type_of(address.kind()),
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}
