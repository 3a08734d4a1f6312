//! Clients of sockets that keep boundaries, made of bare system calls.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_send_buffer_size};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    connect, recv, send, shutdown, socket_with, socketpair,
};

use super::PATIENCE;

/// More than any record takes.
const ROOM: usize = 1 << 20;

/// A seqpacket connection; whatever does not come within the patience fails the test.
pub(crate) struct Records(OwnedFd);

impl Records {
    #[track_caller]
    pub(crate) fn connect(path: impl AsRef<Path>) -> Self {
        let kind = SocketType::SEQPACKET;
        let socket =
            socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
        let address = SocketAddrUnix::new(path.as_ref()).expect("a short path");
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, timeout, Some(PATIENCE)).expect("not zero");
        }
        connect(&socket, &address).expect("a listening server");
        Self(socket)
    }

    #[track_caller]
    pub(crate) fn send(&self, record: &[u8]) {
        assert_eq!(
            send(&self.0, record, SendFlags::NOSIGNAL),
            Ok(record.len()),
            "sent"
        );
    }

    /// Sends records and reads no answer until the server closes the connection.
    pub(crate) fn send_until_closed(&self) {
        while send(&self.0, b"record", SendFlags::NOSIGNAL).is_ok() {}
    }

    /// The next record; an end of input looks like an empty one.
    #[track_caller]
    pub(crate) fn next(&self) -> Vec<u8> {
        receive(&self.0)
    }

    #[track_caller]
    pub(crate) fn converse(&self, record: &str) {
        self.send(record.as_bytes());
        assert_eq!(String::from_utf8_lossy(&self.next()), super::REPLY);
    }

    /// The server has ended the connection and sent nothing before.
    #[track_caller]
    pub(crate) fn is_cut(&self) {
        let mut buffer = [0; 64];
        match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {}
            other => panic!("not the end: {other:?}"),
        }
        // An empty record is followed by something else than the end at once.
        let again = recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT);
        assert_eq!(again.expect("the end").1, 0);
    }

    pub(crate) fn finish(&self) {
        shutdown(&self.0, Shutdown::Write).expect("half-closed");
    }
}

#[track_caller]
pub(crate) fn receive(socket: impl AsFd) -> Vec<u8> {
    let mut buffer = vec![0; ROOM];
    let (_, count) = recv(socket, &mut buffer[..], RecvFlags::empty()).expect("a record in time");
    buffer.truncate(count);
    buffer
}

/// A datagram socket with an address, so that it can be answered.
#[track_caller]
pub(crate) fn bound(path: impl AsRef<Path>) -> UnixDatagram {
    with_patience(UnixDatagram::bind(path).expect("a fresh path"))
}

/// One that has none.
#[track_caller]
pub(crate) fn nameless() -> UnixDatagram {
    with_patience(UnixDatagram::unbound().expect("a socket"))
}

fn with_patience(socket: UnixDatagram) -> UnixDatagram {
    socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    socket.set_write_timeout(Some(PATIENCE)).expect("not zero");
    socket
}

/// Records of many sizes, empty ones and the largest that the kernel takes, which went through a
/// pair of sockets first.
pub(crate) fn records_of_all_sizes(kind: SocketType) -> Vec<Vec<u8>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (left, right) = socketpair(AddressFamily::UNIX, kind, flags, None).expect("a pair");
    let buffer = socket_send_buffer_size(&left).expect("a socket");
    let sizes = [0, 1, 8191, 8192, 8193, 0, 100_000];
    let fits = |size: &usize| send(&left, &vec![0; *size], SendFlags::NOSIGNAL).is_ok();
    let largest = (0..buffer).rev().find(fits).expect("some size");
    assert!(largest > 100_000, "{largest}");
    assert_eq!(receive(&right).len(), largest);
    let records = sizes.into_iter().chain([largest, 0, 1]).enumerate();
    records
        .map(|(index, size)| {
            let record: Vec<u8> = (0..size).map(|at| pattern(index, at)).collect();
            send(&left, &record, SendFlags::NOSIGNAL).expect("it fits");
            let came = receive(&right);
            assert!(came == record, "a pair keeps {size} bytes");
            came
        })
        .collect()
}

/// Printable, so that it can be compared in any output.
fn pattern(index: usize, at: usize) -> u8 {
    b'a' + ((index * 7 + at + at / 26) % 26) as u8
}

/// How many datagrams wait for a receiver at most, unless it is connected to the sender.
pub(crate) fn longest_queue() -> usize {
    let text = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").expect("Linux");
    text.trim().parse::<usize>().expect("a number") + 1
}
