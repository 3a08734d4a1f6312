//! New sockets, and paths that lead through descriptors.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::address::Kind;

/// A new UNIX socket, close-on-exec, with `flags` besides.
pub(crate) fn new(kind: Kind, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let socket_type = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    };
    socket_with(
        AddressFamily::UNIX,
        socket_type,
        SocketFlags::CLOEXEC | flags,
        None,
    )
}

/// The path of an open file (proc_pid_fd(5)): it leads to that very file, whatever has its name
/// now, and it is short enough for a socket address.
pub(crate) fn path_of(fd: impl AsFd) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.as_fd().as_raw_fd().to_string())
}
