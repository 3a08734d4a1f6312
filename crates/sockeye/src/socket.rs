//! New sockets, and paths that lead through file descriptors (fds).

#[cfg(feature = "tokio")]
use std::ffi::OsStr;
#[cfg(feature = "tokio")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
#[cfg(feature = "tokio")]
use std::os::linux::net::SocketAddrExt;
#[cfg(feature = "tokio")]
use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "tokio")]
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

#[cfg(feature = "tokio")]
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with, socketpair,
};

use crate::address::Kind;
#[cfg(feature = "tokio")]
use crate::address::{Address, Name};
#[cfg(feature = "tokio")]
use crate::sys;

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
    autobind(&socket)?;
    Ok(socket)
}

/// Binds a socket to an abstract name that the kernel chooses.
pub(crate) fn autobind(socket: impl AsFd) -> Result<(), Errno> {
    bind(socket, &SocketAddrUnix::new_unnamed())
}

/// The path of an open file (proc_pid_fd(5)): it leads to that very file, whatever has its name
/// now, and it is short enough for a socket address.
pub(crate) fn path_of(fd: impl AsFd) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.as_fd().as_raw_fd().to_string())
}

/// The name that a socket is bound to (getsockname(2)).
#[cfg(feature = "tokio")]
pub(crate) fn local_addr(socket: BorrowedFd<'_>) -> std::io::Result<SocketAddr> {
    // Of a duplicate: std has no other safe way, and it knows every name that the kernel takes.
    UnixListener::from(socket.try_clone_to_owned()?).local_addr()
}

/// The name that the peer of a UNIX socket is bound to (getpeername(2)).
#[cfg(feature = "tokio")]
pub(crate) fn peer_addr(socket: BorrowedFd<'_>) -> std::io::Result<SocketAddr> {
    match std_addr(&sys::peer::name(socket, true)?) {
        Some(address) => Ok(address),
        None => UnixStream::from(socket.try_clone_to_owned()?).peer_addr(),
    }
}

/// The name in `sun_path`, without an fd of which there may be none left. `None` for one that std takes
/// from a socket alone: a path of 108 bytes.
#[cfg(feature = "tokio")]
fn std_addr(name: &[u8]) -> Option<SocketAddr> {
    if let Some(name) = name.strip_prefix(b"\0") {
        return SocketAddr::from_abstract_name(name).ok();
    }
    let path = name.split(|&byte| byte == 0).next()?;
    SocketAddr::from_pathname(OsStr::from_bytes(path)).ok()
}

/// The name of a socket that has none.
#[cfg(feature = "axum08")]
pub(crate) fn unnamed() -> std::io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}

/// The address of the name that a socket is bound to, if it has one and that has a written form.
#[cfg(feature = "tokio")]
pub(crate) fn address(socket: BorrowedFd<'_>, kind: Kind) -> Option<Address> {
    let bound = local_addr(socket).ok()?;
    let name = match bound.as_pathname() {
        Some(path) => Name::Path(path.to_owned()),
        None => Name::Abstract(bound.as_abstract_name()?.to_owned()),
    };
    Address::new(kind, &name).ok()
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
pub(crate) fn is_readable(socket: BorrowedFd<'_>) -> std::io::Result<bool> {
    Ok(!poll(socket, PollFlags::IN)?.is_empty())
}

/// Whether both directions are closed, by the peer's end or by both sides.
#[cfg(feature = "http")]
pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> std::io::Result<bool> {
    Ok(poll(socket, PollFlags::empty())?.contains(PollFlags::HUP))
}

#[cfg(feature = "tokio")]
fn poll(socket: BorrowedFd<'_>, events: PollFlags) -> std::io::Result<PollFlags> {
    let mut state = [PollFd::from_borrowed_fd(socket, events)];
    // A signal interrupts even a poll(2) that does not wait.
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut state, Some(&Timespec::default())))?;
    Ok(state[0].revents())
}
