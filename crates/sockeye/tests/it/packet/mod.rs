//! Records: what goes in comes out, one by one, whole or not at all.

#[cfg(feature = "tokio")]
mod asynchronous;
mod blocking;
mod connect;
#[cfg(feature = "tokio")]
mod datagram;
mod ownership;

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use sockeye::Kind;

const KINDS: [Kind; 2] = [Kind::SeqPacket, Kind::Datagram];

/// Two connected sockets, straight from the kernel.
fn direct_pair(kind: Kind) -> (OwnedFd, OwnedFd) {
    let socket_type = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    };
    socketpair(AddressFamily::UNIX, socket_type, SocketFlags::CLOEXEC, None).unwrap()
}

/// The size of the largest record that the kernel takes.
fn largest(kind: Kind) -> usize {
    let takes = |size: usize| {
        let (left, _right) = direct_pair(kind);
        match send(&left, &vec![0; size], SendFlags::DONTWAIT) {
            Ok(sent) => sent == size,
            Err(Errno::MSGSIZE) => false,
            Err(errno) => panic!("{errno}"),
        }
    };
    let (mut fits, mut does_not) = (100_000_usize, 1 << 30);
    while fits + 1 < does_not {
        let size = fits.midpoint(does_not);
        if takes(size) {
            fits = size;
        } else {
            does_not = size;
        }
    }
    fits
}

/// Records of all sizes that are worth a look, each with bytes of its own.
fn records(kind: Kind) -> Vec<Vec<u8>> {
    let largest = largest(kind);
    let sizes = [
        0, 1, 8191, 0, 8192, 8193, 0, 0, 100_000, largest, 1, largest, 0,
    ];
    let bytes = |(at, &size): (usize, &usize)| (0..size).map(|i| (i * 31 + at) as u8).collect();
    sizes.iter().enumerate().map(bytes).collect()
}

/// What a direct pair makes of `records`.
fn directly(kind: Kind, records: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (left, right) = direct_pair(kind);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for record in records {
                send(&left, record, SendFlags::empty()).unwrap();
            }
        });
        let mut buffer = vec![0; 1 << 20];
        let mut receive = || {
            let (_, size) = recv(&right, &mut buffer[..], RecvFlags::TRUNC).unwrap();
            buffer[..size].to_vec()
        };
        records.iter().map(|_| receive()).collect()
    })
}

/// All orders of up to four records with something in them or nothing.
fn orders() -> impl Iterator<Item = Vec<&'static [u8]>> {
    let of_length = |length: u32| {
        (0..1 << length).map(move |bits: u32| {
            let record = |at| if bits >> at & 1 == 1 { &b"x"[..] } else { b"" };
            (0..length).map(record).collect()
        })
    };
    (0..=4).flat_map(of_length)
}

fn send_all(socket: impl AsFd, records: &[&[u8]]) {
    for record in records {
        assert_eq!(
            send(&socket, record, SendFlags::empty()).unwrap(),
            record.len()
        );
    }
}
