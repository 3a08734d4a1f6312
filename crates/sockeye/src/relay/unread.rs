//! Input that is discarded because nobody takes it any more.

use std::os::fd::AsFd;

use bytes::BytesMut;
use rustix::io::ioctl_fionread;

use super::relay_socket::{RelaySocket, SocketKind};
use crate::ancillary::close_in_background;
use crate::passing::Passing;
use crate::{recv, scratch, sys};

/// A peer that goes on sending is not read for ever.
const MOST_READS: usize = 256;

/// How much stays in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    /// The last byte, or the last record.
    Last,
}

/// Discards what is queued, after reading was shut down.
pub(super) fn discard(socket: &RelaySocket, keep: Keep) {
    let mut buffer = scratch::take(scratch::SIZE);
    for _ in 0..MOST_READS {
        let Ok(queued) = ioctl_fionread(socket) else {
            break;
        };
        let size = match (keep, socket.kind) {
            (Keep::Nothing, _) => scratch::SIZE,
            (Keep::Last, SocketKind::SeqPacket) => match first_record(socket) {
                Some(first) if first < queued as usize => scratch::SIZE,
                _ => break,
            },
            (Keep::Last, _) => queued.saturating_sub(1) as usize,
        };
        if queued == 0 || size == 0 || !discard_once(socket, &mut buffer, size) {
            break;
        }
    }
    scratch::put_back(buffer);
}

fn first_record(socket: &RelaySocket) -> Option<usize> {
    let seen = sys::message::peek::descriptors(socket.as_fd(), 0, 0, 0);
    seen.ok().map(|seen| seen.length)
}

/// Whether the queue may have more.
fn discard_once(socket: &RelaySocket, buffer: &mut BytesMut, size: usize) -> bool {
    buffer.clear();
    if socket.io.passing().is_unchecked() {
        let mut room = bytes::BufMut::limit(buffer, size);
        let received = recv::try_recv_bytes(socket.as_fd(), &mut room, Passing::Unchecked);
        return received.is_ok();
    }
    match recv::try_recv_append(socket.as_fd(), buffer, size, Passing::Receives) {
        Ok(outcome) => match outcome.result {
            Ok(Some(received)) => {
                close_in_background(received.descriptors);
                true
            }
            // A record that is longer than the buffer has left the queue.
            Err(crate::ancillary::RecvError::TooLong { .. }) => true,
            _ => false,
        },
        Err(_) => false,
    }
}
