//! The messages of sock_diag(7): the request, and what the kernel answers.

use std::io;

use rustix::net::{AddressFamily, SocketType};

use super::entry::{DiagEntry, DiagState, FileId};
use crate::address::Kind;
use crate::ids;

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

pub(super) fn request() -> [u8; HEADER + 24] {
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

/// The progress of a dump.
#[derive(Debug, PartialEq, Eq)]
pub enum DumpProgress {
    /// Another datagram follows.
    More,
    /// This was the last one.
    Done,
    /// The table changed while it was read: the dump may be incomplete.
    Interrupted,
}

/// Decodes one datagram of an answer and appends its sockets to `entries`. Attributes and types
/// that it does not know are skipped.
///
/// # Errors
/// The error that the kernel answered, or [`io::ErrorKind::InvalidData`] for lengths that do not
/// fit.
pub fn decode(mut datagram: &[u8], entries: &mut Vec<DiagEntry>) -> io::Result<DumpProgress> {
    let mut progress = DumpProgress::More;
    while !datagram.is_empty() {
        let length = u32_at(datagram, 0)? as usize;
        let message = datagram.get(HEADER..length).ok_or_else(malformed)?;
        if u16_at(datagram, 6)? & NLM_F_DUMP_INTR != 0 {
            progress = DumpProgress::Interrupted;
        }
        match u16_at(datagram, 4)? {
            NLMSG_DONE => {
                // The status of the whole dump.
                if u32_at(message, 0).is_ok_and(|status| status.cast_signed() < 0) {
                    return Err(error_in(message)?);
                }
                return Ok(match progress {
                    DumpProgress::More => DumpProgress::Done,
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
fn entry(message: &[u8]) -> io::Result<Option<DiagEntry>> {
    let [_, kind, state, ..] = *message else {
        return Err(malformed());
    };
    let kind = match u32::from(kind) {
        kind if kind == SocketType::STREAM.as_raw() => Kind::Stream,
        kind if kind == SocketType::SEQPACKET.as_raw() => Kind::SeqPacket,
        kind if kind == SocketType::DGRAM.as_raw() => Kind::Datagram,
        _ => return Ok(None),
    };
    let mut entry = DiagEntry {
        kind,
        state: match state {
            TCP_LISTEN => DiagState::Listening,
            TCP_ESTABLISHED => DiagState::Connected,
            _ => DiagState::Unconnected,
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

    /// Taken on Linux 6.18 in a network namespace of its own: a listener `app.sock` with a limit of
    /// 5, a client of it that has shut writing down and has 5 bytes to read, the accepted end, a
    /// client that waits, a datagram socket `@jobs`, an unbound seqpacket socket.
    #[cfg(target_endian = "little")]
    #[test]
    fn a_captured_dump_is_decoded() {
        let dump = include_bytes!("../../../tests/data/unix_diag.bin");
        let mut entries = Vec::new();
        assert_eq!(decode(dump, &mut entries).unwrap(), DumpProgress::Done);
        entries.sort_by_key(|entry| entry.inode);
        let [listener, client, accepted, waiting, jobs, unbound] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(listener.state, DiagState::Listening);
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
            (DiagState::Connected, Some(accepted.inode))
        );
        assert_eq!(
            (accepted.peer, accepted.shutdown),
            (Some(client.inode), Some(1))
        );
        assert_eq!((client.recv_queue, client.shutdown), (Some(5), Some(2)));
        assert_eq!(
            (waiting.state, waiting.peer),
            (DiagState::Connected, Some(0))
        );
        assert_eq!(
            (jobs.kind, jobs.state),
            (Kind::Datagram, DiagState::Unconnected)
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
            DumpProgress::Interrupted
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
