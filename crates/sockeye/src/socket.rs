//! New sockets, and paths that lead through file descriptors (fds).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with, socketpair,
};

use crate::address::Kind;

fn type_of(kind: Kind) -> SocketType {
    match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    }
}

/// A new UNIX socket, close-on-exec, with `flags` besides.
pub(crate) fn new(kind: Kind, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | flags;
    socket_with(AddressFamily::UNIX, type_of(kind), flags, None)
}

/// Two new UNIX sockets that are connected, as [`new`] makes them.
pub(crate) fn pair(kind: Kind, flags: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = SocketFlags::CLOEXEC | flags;
    socketpair(AddressFamily::UNIX, type_of(kind), flags, None)
}

/// A new datagram socket with an abstract name that the kernel chooses (unix(7), autobind).
pub(crate) fn autobound(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let socket = new(Kind::Datagram, flags)?;
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    Ok(socket)
}

/// The path of an open file (proc_pid_fd(5)): it leads to that very file, whatever has its name
/// now, and it is short enough for a socket address.
pub(crate) fn path_of(fd: impl AsFd) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.as_fd().as_raw_fd().to_string())
}

/// Registers a non-blocking socket with the runtime (epoll).
#[cfg(feature = "tokio")]
// The deprecated constructor is unsound for types whose fd is not their own; OwnedFd's is.
#[allow(deprecated)]
#[track_caller]
pub(crate) fn register(
    fd: OwnedFd,
    interest: tokio::io::Interest,
) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    tokio::io::unix::AsyncFd::with_interest(fd, interest)
}

/// Waits until the socket is readable, without receiving or accepting.
#[cfg(feature = "tokio")]
pub(crate) async fn readable(socket: &tokio::io::unix::AsyncFd<OwnedFd>) -> std::io::Result<()> {
    loop {
        let mut ready = socket.readable().await?;
        if is_readable(socket.as_fd())? {
            ready.retain_ready();
            return Ok(());
        }
        ready.clear_ready();
    }
}

/// Whether the socket is readable: poll(2).
#[cfg(feature = "tokio")]
pub(crate) fn is_readable(socket: std::os::fd::BorrowedFd<'_>) -> std::io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut state = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    // A signal interrupts even a poll(2) that does not wait.
    let ready = rustix::io::retry_on_intr(|| poll(&mut state, Some(&Timespec::default())))?;
    Ok(ready > 0)
}
