//! [`receive_pieces`]: bytes of a stream, with each file descriptor beside the byte it came with.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, IoSliceMut};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};
use sockeye::ancillary::{RecvError, close_in_background, recv_msg};

/// Bytes, and the fds that came with the first of them.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Drop for Piece {
    /// close(2) can take as long as the server wishes (`SO_LINGER`), but not in a process that ends.
    fn drop(&mut self) {
        close_in_background(self.descriptors.drain(..));
    }
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            descriptors: Vec::new(),
        }
    }
}

/// Receives what is queued, up to `limit` bytes; waits for the first. `None` at EOF.
///
/// One recvmsg(2) may return earlier bytes together with those that fds came with, and does not say
/// where these begin; sent on with one call, the fds would arrive too early. A peek without room for
/// ancillary data says whether any fds are queued (`MSG_CTRUNC`). Only then bytes are read one by
/// one, to find the one that they came with.
pub(super) fn receive_pieces(
    socket: impl AsFd,
    limit: usize,
) -> Result<Option<Vec<Piece>>, RecvError> {
    let mut pieces = Vec::new();
    let mut piece = Piece::default();
    let mut left = limit;
    let mut flags = RecvFlags::empty();
    let mut is_searching = false;
    while left > 0 {
        // Exactly what was peeked at: more may have come since, with fds.
        let mut bytes = if is_searching {
            vec![0; 1]
        } else {
            match peek(&socket, left, flags)? {
                None => break,
                Some((queued, has_descriptors)) => {
                    is_searching = has_descriptors;
                    vec![0; if is_searching { 1 } else { queued }]
                }
            }
        };
        let Some(received) = recv_msg(&socket, &mut bytes)? else {
            break;
        };
        flags = RecvFlags::DONTWAIT;
        left -= received.bytes;
        let is_rest = !is_searching;
        if !received.descriptors.is_empty() {
            is_searching = false;
            let next = Piece {
                bytes: Vec::new(),
                descriptors: received.descriptors,
            };
            pieces.push(std::mem::replace(&mut piece, next));
        }
        piece.bytes.extend_from_slice(&bytes[..received.bytes]);
        if is_rest {
            break;
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.bytes.is_empty());
    Ok((!pieces.is_empty()).then_some(pieces))
}

/// How many bytes are queued, at most `most`, and whether fds are queued with them. `None` at EOF,
/// and for EAGAIN if `flags` say not to wait.
fn peek(socket: impl AsFd, most: usize, flags: RecvFlags) -> io::Result<Option<(usize, bool)>> {
    let mut buffer = vec![0; most];
    loop {
        let mut room = [IoSliceMut::new(&mut buffer)];
        let mut control = RecvAncillaryBuffer::default();
        match recvmsg(&socket, &mut room, &mut control, flags | RecvFlags::PEEK) {
            Ok(peeked) if peeked.bytes == 0 => return Ok(None),
            Ok(peeked) => {
                let has_descriptors = peeked.flags.contains(ReturnFlags::CTRUNC);
                return Ok(Some((peeked.bytes, has_descriptors)));
            }
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(super) fn borrowed(descriptors: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    descriptors.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use sockeye::ancillary::send_msg;

    use super::*;

    fn found(socket: &UnixStream, limit: usize) -> Vec<(String, usize)> {
        let pieces = receive_pieces(socket, limit).unwrap().unwrap_or_default();
        pieces
            .into_iter()
            .map(|piece| {
                let text = String::from_utf8(piece.bytes.clone()).unwrap();
                (text, piece.descriptors.len())
            })
            .collect()
    }

    #[test]
    fn a_file_descriptor_stays_beside_its_byte() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let of = |texts: &[(&str, usize)]| -> Vec<(String, usize)> {
            texts
                .iter()
                .map(|(text, n)| ((*text).to_owned(), *n))
                .collect()
        };
        left.write_all(b"plain").unwrap();
        assert_eq!(found(&right, 100), of(&[("plain", 0)]));
        left.write_all(b"before").unwrap();
        send_msg(&left, b"first", &[file.as_fd()]).unwrap();
        send_msg(&left, b"second", &[file.as_fd(), file.as_fd()]).unwrap();
        left.write_all(b" and after").unwrap();
        let expected = of(&[("before", 0), ("first", 1), ("second and after", 2)]);
        assert_eq!(found(&right, 100), expected);
        send_msg(&left, b"split", &[file.as_fd()]).unwrap();
        assert_eq!(found(&right, 2), of(&[("sp", 1)]));
        assert_eq!(found(&right, 100), of(&[("lit", 0)]));
        drop(left);
        assert!(receive_pieces(&right, 100).unwrap().is_none());
    }
}
