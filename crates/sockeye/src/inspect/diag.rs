//! The kernel's table of UNIX sockets, read through sock_diag(7).
//!
//! It shows the sockets of the current network namespace only.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::address::Kind;
use crate::{ids, sys};

// linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h, net/tcp_states.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Name, file, peer, waiting connections, queues, owner.
const UDIAG_SHOW: u32 = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x40;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const UNIX_DIAG_UID: u16 = 7;
const TCP_ESTABLISHED: u8 = 1;
const TCP_LISTEN: u8 = 10;

const HEADER: usize = 16;
/// The kernel fills at most 32 KiB at a time.
const BUFFER: usize = 64 * 1024;
/// How often a dump is taken anew because the table changed under it.
const ATTEMPTS: usize = 4;

/// What a socket is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// listen(2) was called.
    Listening,
    /// connect(2), accept(2) or socketpair(2) joined it to another.
    Connected,
    /// Neither: bound, about to listen, or unused.
    Unconnected,
}

/// One socket of the kernel's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Stream, seqpacket or datagram.
    pub kind: Kind,
    /// What it is doing.
    pub state: State,
    /// The inode number of the socket itself, as in `/proc/PID/fd`.
    pub inode: u32,
    /// The name it was bound to, as given to bind(2): a path, or an abstract name with its leading
    /// NUL byte. An accepted socket has the name of its listener.
    pub name: Option<Vec<u8>>,
    /// The socket file it was bound to. An accepted socket has that of its listener.
    pub file: Option<FileId>,
    /// The inode number of the socket at the other end; 0 for one that nobody has open: not
    /// accepted yet, or closed.
    pub peer: Option<u32>,
    /// Of a listener the inode numbers of the sockets that wait to be accepted, 0 for one that was
    /// closed meanwhile.
    pub waiting: Vec<u32>,
    /// Bytes to be read; of a listener the connections that wait.
    pub recv_queue: Option<u32>,
    /// Bytes sent and not yet read; of a listener its backlog limit.
    pub send_queue: Option<u32>,
    /// Bit 0: reading was shut down; bit 1: writing.
    pub shutdown: Option<u8>,
    /// The user who made the socket (Linux 5.3).
    pub uid: Option<u32>,
}

/// A socket file as sock_diag(7) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The lower 32 bits of the inode number.
    pub inode: u32,
    /// The device of the file system in the kernel's own encoding, 12 bits major and 20 bits minor;
    /// `st_dev` can be another one (btrfs, overlayfs).
    pub device: u32,
}

impl Entry {
    /// Whether this socket can be reached at the file or name it is bound to, now or once it calls
    /// listen(2). An accepted socket bears its listener's name and cannot.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.kind == Kind::Datagram || self.state != State::Connected
    }

    /// Whether the path that it was bound to ends with this name.
    pub(crate) fn is_named(&self, base: &OsStr) -> bool {
        let base = base.as_bytes();
        let name = self.name.as_deref().unwrap_or_default();
        name == base || name.strip_suffix(base).is_some_and(|d| d.ends_with(b"/"))
    }
}

/// All UNIX sockets of this network namespace.
///
/// # Errors
/// As socket(2) for `AF_NETLINK` (a sandbox may forbid it), and what the kernel answers: `ENOENT`
/// where it was built without `unix_diag`. `EAGAIN` where the table changed under every attempt.
pub fn dump() -> io::Result<Vec<Entry>> {
    let table = read_table()?;
    match table.is_whole {
        true => Ok(table.entries),
        false => Err(Errno::AGAIN.into()),
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
    pub(super) entries: Vec<Entry>,
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
fn dump_once(entries: &mut Vec<Entry>) -> io::Result<bool> {
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
            Progress::More => {}
            Progress::Done => return Ok(true),
            Progress::Interrupted => return Ok(false),
        }
    }
}

fn request() -> [u8; HEADER + 24] {
    let mut message = [0; HEADER + 24];
    let length = message.len() as u32;
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message[16] = AddressFamily::UNIX.as_raw() as u8;
    message[20..24].copy_from_slice(&u32::MAX.to_ne_bytes()); // every state
    message[28..32].copy_from_slice(&UDIAG_SHOW.to_ne_bytes());
    message
}

/// How far a dump has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another datagram follows.
    More,
    /// This was the last one.
    Done,
    /// The table changed while it was read: the dump may be incomplete.
    Interrupted,
}

/// Decodes one datagram of an answer and appends its sockets to `entries`. Attributes and types
/// that it does not know are passed over.
///
/// # Errors
/// The error that the kernel answered, or [`io::ErrorKind::InvalidData`] for lengths that do not
/// fit.
pub fn decode(mut datagram: &[u8], entries: &mut Vec<Entry>) -> io::Result<Progress> {
    let mut progress = Progress::More;
    while !datagram.is_empty() {
        let length = u32_at(datagram, 0)? as usize;
        let message = datagram.get(HEADER..length).ok_or_else(malformed)?;
        if u16_at(datagram, 6)? & NLM_F_DUMP_INTR != 0 {
            progress = Progress::Interrupted;
        }
        match u16_at(datagram, 4)? {
            NLMSG_DONE => {
                // The status of the whole dump.
                if u32_at(message, 0).is_ok_and(|status| status.cast_signed() < 0) {
                    return Err(error_in(message)?);
                }
                return Ok(match progress {
                    Progress::More => Progress::Done,
                    other => other,
                });
            }
            NLMSG_ERROR => return Err(error_in(message)?),
            SOCK_DIAG_BY_FAMILY => entries.extend(entry(message)?),
            _ => {}
        }
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    Ok(progress)
}

fn error_in(message: &[u8]) -> io::Result<io::Error> {
    let errno = u32_at(message, 0)?.cast_signed();
    Ok(io::Error::from_raw_os_error(errno.saturating_neg()))
}

/// Decodes a `unix_diag_msg` and its attributes; `None` for a type of socket that we do not know.
fn entry(message: &[u8]) -> io::Result<Option<Entry>> {
    let [_, kind, state, ..] = *message else {
        return Err(malformed());
    };
    let kind = match u32::from(kind) {
        kind if kind == SocketType::STREAM.as_raw() => Kind::Stream,
        kind if kind == SocketType::SEQPACKET.as_raw() => Kind::SeqPacket,
        kind if kind == SocketType::DGRAM.as_raw() => Kind::Datagram,
        _ => return Ok(None),
    };
    let mut entry = Entry {
        kind,
        state: match state {
            TCP_LISTEN => State::Listening,
            TCP_ESTABLISHED => State::Connected,
            _ => State::Unconnected,
        },
        inode: u32_at(message, 4)?,
        name: None,
        file: None,
        peer: None,
        waiting: Vec::new(),
        recv_queue: None,
        send_queue: None,
        shutdown: None,
        uid: None,
    };
    let mut rest = message.get(16..).ok_or_else(malformed)?;
    while !rest.is_empty() {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length).ok_or_else(malformed)?;
        match u16_at(rest, 2)? {
            UNIX_DIAG_NAME => entry.name = Some(without_terminator(value).to_vec()),
            UNIX_DIAG_VFS => {
                entry.file = Some(FileId {
                    inode: u32_at(value, 0)?,
                    device: u32_at(value, 4)?,
                });
            }
            UNIX_DIAG_PEER => entry.peer = Some(u32_at(value, 0)?),
            UNIX_DIAG_ICONS => {
                let inodes = value.chunks_exact(size_of::<u32>());
                entry.waiting = inodes
                    .map(|inode| u32_at(inode, 0))
                    .collect::<Result<_, _>>()?;
            }
            UNIX_DIAG_RQLEN => {
                entry.recv_queue = Some(u32_at(value, 0)?);
                entry.send_queue = Some(u32_at(value, 4)?);
            }
            UNIX_DIAG_SHUTDOWN => entry.shutdown = value.first().copied(),
            UNIX_DIAG_UID => entry.uid = ids::uid(u32_at(value, 0)?),
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(Some(entry))
}

/// The kernel counts the closing NUL of a path, but nothing closes an abstract name.
fn without_terminator(name: &[u8]) -> &[u8] {
    match name {
        [0, ..] => name,
        [path @ .., 0] => path,
        _ => name,
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    Ok(u16::from_ne_bytes(*field.ok_or_else(malformed)?))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    Ok(u32::from_ne_bytes(*field.ok_or_else(malformed)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
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
        assert_eq!(found.state, State::Unconnected);
        let file = std::fs::metadata(&path).unwrap();
        assert_eq!(found.file.unwrap().inode, file.ino() as u32);
        let fd = rustix::fs::fstat(&socket).unwrap();
        assert_eq!(u64::from(found.inode), fd.st_ino);
        rustix::net::listen(&socket, 1).unwrap();
        assert_eq!(find().state, State::Listening);
    }

    /// Taken on Linux 6.18 in a network namespace of its own: a listener `app.sock` with a limit of
    /// 5, a client of it that has shut writing down and has 5 bytes to read, the accepted end, a
    /// client that waits, a datagram socket `@jobs`, an unbound seqpacket socket.
    #[cfg(target_endian = "little")]
    #[test]
    fn a_captured_dump_is_decoded() {
        let dump = include_bytes!("../../tests/data/unix_diag.bin");
        let mut entries = Vec::new();
        assert_eq!(decode(dump, &mut entries).unwrap(), Progress::Done);
        entries.sort_by_key(|entry| entry.inode);
        let [listener, client, accepted, waiting, jobs, unbound] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(listener.state, State::Listening);
        assert_eq!(listener.name.as_deref(), Some(&b"app.sock"[..]));
        assert_eq!(listener.waiting, [waiting.inode]);
        assert_eq!(
            (listener.recv_queue, listener.send_queue),
            (Some(1), Some(5))
        );
        assert_eq!((listener.uid, listener.peer), (Some(0), None));
        assert_eq!(accepted.file, listener.file);
        assert_eq!(accepted.name, listener.name);
        assert_eq!(
            (client.state, client.peer),
            (State::Connected, Some(accepted.inode))
        );
        assert_eq!(
            (accepted.peer, accepted.shutdown),
            (Some(client.inode), Some(1))
        );
        assert_eq!((client.recv_queue, client.shutdown), (Some(5), Some(2)));
        assert_eq!((waiting.state, waiting.peer), (State::Connected, Some(0)));
        assert_eq!(
            (jobs.kind, jobs.state),
            (Kind::Datagram, State::Unconnected)
        );
        assert_eq!(jobs.name.as_deref(), Some(&b"\0jobs"[..]));
        assert_eq!((unbound.kind, &unbound.name), (Kind::SeqPacket, &None));
        // Cut anywhere, it is refused or incomplete, and never more than it was.
        for length in 0..dump.len() {
            let mut part = Vec::new();
            let _ = decode(&dump[..length], &mut part);
            assert!(part.len() <= entries.len());
        }
    }

    #[test]
    fn an_error_of_the_kernel_is_an_error() {
        let mut message = vec![20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&(-2i32).to_ne_bytes());
        let error = decode(&message, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
    }

    #[test]
    fn an_interrupted_dump_is_not_taken_for_whole() {
        let message = [16, 0, 0, 0, 3, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            decode(&message, &mut Vec::new()).unwrap(),
            Progress::Interrupted
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &mut Vec::new());
        }

        #[test]
        fn any_attributes_are_decoded_or_refused(bytes in prop::collection::vec(0u8..24, 0..200)) {
            let mut message = vec![0; HEADER];
            message[0..4].copy_from_slice(&(HEADER as u32 + 16 + bytes.len() as u32).to_ne_bytes());
            message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
            message.extend_from_slice(&[1, 1, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            message.extend_from_slice(&bytes);
            let _ = decode(&message, &mut Vec::new());
        }
    }
}
