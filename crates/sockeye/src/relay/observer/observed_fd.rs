//! [`ObservedFd`]: what a passed file descriptor (fd) refers to.

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{OFlags, fcntl_getfl, readlink};

use crate::address::escaped;

/// What a file descriptor (fd) that is passed on refers to, as the relay saw it. It holds nothing open.
///
/// It is displayed as `pipe:[4242] (read)`, or `/etc/passwd (read, write)`, escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedFd {
    /// Guessed from the link.
    pub kind: ObservedFdKind,
    /// The text of its link in `/proc/self/fd` (proc_pid_fd(5)): a path, or such as `socket:[4242]`;
    /// `None` where `/proc` does not tell. Its author may be the peer.
    pub link: Option<PathBuf>,
    /// Whether it may be read; `None` where that is not known.
    pub reads: Option<bool>,
    /// Whether it may be written to; `None` where that is not known.
    pub writes: Option<bool>,
}

/// The kind of an [`ObservedFd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObservedFdKind {
    /// `socket:[N]`.
    Socket,
    /// `pipe:[N]`.
    Pipe,
    /// `/memfd:NAME` (memfd_create(2)).
    Memfd,
    /// `anon_inode:NAME`, such as an eventfd or epoll(7).
    AnonInode,
    /// A path: a file, a directory or a device.
    File,
    /// Anything else.
    Other,
}

impl ObservedFd {
    /// Asks `/proc` for the link, and the kernel for the access mode: neither can block. fstat(2) can,
    /// on a file system in user space.
    pub(super) fn of(fd: BorrowedFd<'_>) -> Self {
        let link = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
        let link = link.ok().map(CString::into_bytes);
        let kind = link.as_deref().map_or(ObservedFdKind::Other, kind_of);
        let path_only = |flags: &OFlags| !flags.contains(OFlags::PATH);
        let mode = fcntl_getfl(fd).ok();
        let mode = mode.map(|flags| {
            Some(flags)
                .filter(path_only)
                .map(|flags| flags & OFlags::RWMODE)
        });
        let is_one_of =
            |modes: [OFlags; 2]| mode.map(|mode| mode.is_some_and(|mode| modes.contains(&mode)));
        Self {
            kind,
            link: link.map(|link| PathBuf::from(OsString::from_vec(link))),
            reads: is_one_of([OFlags::RDONLY, OFlags::RDWR]),
            writes: is_one_of([OFlags::WRONLY, OFlags::RDWR]),
        }
    }
}

impl fmt::Display for ObservedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => write!(f, "{}", escaped(link))?,
            None => f.write_str("unknown")?,
        }
        match (self.reads, self.writes) {
            (Some(true), Some(true)) => f.write_str(" (read, write)"),
            (Some(true), _) => f.write_str(" (read)"),
            (_, Some(true)) => f.write_str(" (write)"),
            _ => Ok(()),
        }
    }
}

fn kind_of(link: &[u8]) -> ObservedFdKind {
    const KINDS: [(&[u8], ObservedFdKind); 5] = [
        (b"socket:[", ObservedFdKind::Socket),
        (b"pipe:[", ObservedFdKind::Pipe),
        (b"anon_inode:", ObservedFdKind::AnonInode),
        (b"/memfd:", ObservedFdKind::Memfd),
        (b"/", ObservedFdKind::File),
    ];
    let found = KINDS.iter().find(|(start, _)| link.starts_with(start));
    found.map_or(ObservedFdKind::Other, |&(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_fd_is_described_without_fstat() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (reader, writer) = (
            ObservedFd::of(reader.as_fd()),
            ObservedFd::of(writer.as_fd()),
        );
        assert_eq!(reader.kind, ObservedFdKind::Pipe);
        assert!(reader.to_string().starts_with("pipe:["), "{reader}");
        assert!(reader.to_string().ends_with("] (read)"), "{reader}");
        assert!(writer.to_string().ends_with("] (write)"), "{writer}");
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(ObservedFd::of(null.as_fd()).to_string(), "/dev/null (read)");
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = ObservedFd::of(socket.as_fd());
        assert_eq!(socket.kind, ObservedFdKind::Socket);
        assert!(socket.to_string().ends_with("] (read, write)"), "{socket}");
    }

    #[test]
    fn a_path_only_fd_neither_reads_nor_writes() {
        let file = rustix::fs::open("/", OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let found = ObservedFd::of(file.as_fd());
        assert_eq!((found.reads, found.writes), (Some(false), Some(false)));
        assert_eq!(found.to_string(), "/");
    }

    #[test]
    fn names_of_a_peer_are_escaped() {
        let fd = rustix::fs::memfd_create("\x1b[31m", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let found = ObservedFd::of(fd.as_fd());
        assert_eq!(found.kind, ObservedFdKind::Memfd);
        assert!(!found.to_string().contains('\x1b'), "{found}");
    }
}
