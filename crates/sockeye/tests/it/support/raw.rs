//! Sockets as others make them, and what can be seen of descriptors.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use sockeye::Kind;

fn new_socket(kind: Kind, flags: SocketFlags) -> OwnedFd {
    let socket_type = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
        Kind::Datagram => SocketType::DGRAM,
    };
    let flags = flags | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, socket_type, flags, None).unwrap()
}

/// A socket that is bound and does not listen: a server that starts.
pub(crate) fn bound(kind: Kind, path: &Path) -> OwnedFd {
    let socket = new_socket(kind, SocketFlags::empty());
    bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

pub(crate) fn listening(kind: Kind, path: &Path, backlog: i32) -> OwnedFd {
    let socket = bound(kind, path);
    listen(&socket, backlog).unwrap();
    socket
}

pub(crate) fn connected(kind: Kind, path: &Path) -> OwnedFd {
    let socket = new_socket(kind, SocketFlags::empty());
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

/// The socket file of a server that was killed.
pub(crate) fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

/// Connects until the backlog takes no more.
pub(crate) fn fill_backlog(kind: Kind, path: &Path) -> Vec<OwnedFd> {
    let name = SocketAddrUnix::new(path).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = new_socket(kind, SocketFlags::NONBLOCK);
        match connect(&client, &name) {
            Ok(()) => clients.push(client),
            Err(Errno::AGAIN) => return clients,
            Err(errno) => panic!("{errno}"),
        }
    }
}

pub(crate) fn is_close_on_exec(fd: impl AsFd) -> bool {
    fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC)
}

#[cfg(feature = "tokio")]
pub(crate) fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    flags.contains(rustix::fs::OFlags::NONBLOCK)
}

/// Whether this process has `path` open, and if so, whether all such descriptors are close-on-exec.
pub(crate) fn holds(path: &Path) -> Option<bool> {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let flags: Vec<u32> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            if fs::read_link(entry.path()).ok()? != path {
                return None;
            }
            let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
            let text = fs::read_to_string(info).ok()?;
            let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
            u32::from_str_radix(octal.trim(), 8).ok()
        })
        .collect();
    (!flags.is_empty()).then(|| flags.iter().all(|flags| flags & O_CLOEXEC != 0))
}
