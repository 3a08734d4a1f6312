//! The kernel's table of UNIX sockets, read through sock_diag(7).
//!
//! It shows the sockets of the current network namespace only.
//!
//! ```no_run
//! let sockets = sockeye::inspect::diag::dump()?;
//! println!("{} UNIX sockets", sockets.len());
//! # Ok::<(), std::io::Error>(())
//! ```

mod entry;
mod message;

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::sys;
pub use entry::{DiagEntry, DiagState, FileId};
use message::request;
pub use message::{DumpProgress, decode};

/// The kernel fills at most 32 KiB at a time.
const BUFFER: usize = 64 * 1024;
/// How many times a dump is repeated because the table changed meanwhile.
const ATTEMPTS: usize = 4;

/// All UNIX sockets of this network namespace.
///
/// # Errors
/// As socket(2) for `AF_NETLINK` (a sandbox may forbid it), and what the kernel answers: `ENOENT`
/// where it was built without `unix_diag`. `EAGAIN` where the table changed under every attempt.
#[doc(alias = "UNIX_DIAG")]
#[doc(alias = "NETLINK_SOCK_DIAG")]
pub fn dump() -> io::Result<Vec<DiagEntry>> {
    let table = read_table()?;
    if table.is_whole {
        Ok(table.entries)
    } else {
        Err(Errno::AGAIN.into())
    }
}

/// Whether [`dump`] shows `socket` for as long as somebody has it open: it is in this network
/// namespace. An accepted socket is in that of its client.
///
/// # Errors
/// As socket(2) and getsockopt(2) for `SO_NETNS_COOKIE` (socket(7)): `ENOPROTOOPT` before Linux 5.14.
pub fn shows(socket: impl AsFd) -> io::Result<bool> {
    let ours = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let theirs = sys::socket::namespace_cookie(socket.as_fd())?;
    Ok(sys::socket::namespace_cookie(ours.as_fd())? == theirs)
}

/// The sockets of a network namespace, as far as they could be read.
pub(super) struct Table {
    pub(super) entries: Vec<DiagEntry>,
    /// `false` where the table changed under every attempt: these are those of the last one.
    pub(super) is_whole: bool,
}

/// As [`dump`], for those to whom a part is better than nothing.
pub(super) fn read_table() -> io::Result<Table> {
    let mut entries = Vec::new();
    let mut is_whole = false;
    for _ in 0..ATTEMPTS {
        entries.clear();
        is_whole = match dump_once(&mut entries) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => false,
            done => done?,
        };
        if is_whole {
            break;
        }
    }
    Ok(Table { entries, is_whole })
}

/// Whether these are all.
fn dump_once(entries: &mut Vec<DiagEntry>) -> io::Result<bool> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (_, length) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        // One that did not fit has lost its end.
        let Some(part) = buffer.get(..length) else {
            return Ok(false);
        };
        match decode(part, entries)? {
            DumpProgress::More => {}
            DumpProgress::Done => return Ok(true),
            DumpProgress::Interrupted => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Kind;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    fn bind(path: &std::path::Path) -> impl AsFd {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        let address = rustix::net::SocketAddrUnix::new(path).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        socket
    }

    #[test]
    fn a_socket_of_ours_is_found_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = bind(&path);
        let find = || {
            let all = dump().unwrap();
            let name = path.as_os_str().as_encoded_bytes();
            all.into_iter()
                .find(|entry| entry.name.as_deref() == Some(name))
                .unwrap()
        };
        let found = find();
        assert_eq!(found.kind, Kind::SeqPacket);
        assert_eq!(found.state, DiagState::Unconnected);
        let file = std::fs::metadata(&path).unwrap();
        assert_eq!(found.file.unwrap().inode, file.ino() as u32);
        let fd = rustix::fs::fstat(&socket).unwrap();
        assert_eq!(u64::from(found.inode), fd.st_ino);
        rustix::net::listen(&socket, 1).unwrap();
        assert_eq!(find().state, DiagState::Listening);
    }
}
