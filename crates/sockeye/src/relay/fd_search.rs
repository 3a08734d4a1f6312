//! [`FdSearch`]: bytes of a stream, and each fd beside the byte that it came with.
//!
//! A read puts earlier bytes in front of those that bear fds, and stops behind them. It does not say
//! where the message with the fds begins. A peek (`MSG_PEEK`) without room for fds says whether any are
//! anywhere in the queue (`MSG_CTRUNC`), and the bytes that it sees end with the first such message. So
//! while none are queued, everything that is there is read at once; otherwise bytes are read one by one
//! until the fds come, and then the rest of their message.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use bytes::{BufMut, BytesMut};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::RecvFlags;

use super::report::RelayFailure;
use crate::ancillary::{Received, RecvError};
use crate::lazy_async_fd::ReadOutcome;
use crate::peer::Peer;
use crate::sys::message::peek;
use crate::{fd_headroom, scratch, sys};

/// How much is peeked at, unless a lot comes at a time.
pub(super) const LOOKED_AT: usize = 2048;
/// How many bytes are read one by one before the task yields.
const ONE_BY_ONE: usize = 256;
/// As many bytes of one message as the kernel keeps together, and fds come with the first of them: four
/// pages and 32 KiB, or a page if that is more (net/unix/af_unix.c, `unix_stream_sendmsg`).
fn most_together() -> usize {
    let page = rustix::param::page_size();
    4 * page + page.max(32 << 10)
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FdSearch {
    /// How many bytes are queued up to the end of the first message with fds; 0 if no fds are known to
    /// be queued.
    until: usize,
    /// The room for the credentials of each message, if these come.
    room: usize,
}

/// What a look at the queue has brought.
pub(super) enum Seen {
    Bytes(Option<Peer>),
    Eof,
    /// Fds are queued, and that many bytes up to the end of their message.
    Fds(usize),
}

impl FdSearch {
    /// `has_credentials`: each message comes with them (`SO_PASSCRED`).
    pub(super) fn new(has_credentials: bool) -> Self {
        let room = if has_credentials {
            peek::CREDENTIALS_ALONE
        } else {
            0
        };
        Self { until: 0, room }
    }

    pub(super) fn has_found(self) -> bool {
        self.until > 0
    }

    pub(super) fn begin(&mut self, until: usize) {
        self.until = until;
    }

    pub(super) fn credentials_room(self) -> usize {
        self.room
    }

    /// Receives into the empty `buffer` what is queued in front of any fds.
    pub(super) fn try_recv(
        self,
        fd: BorrowedFd<'_>,
        buffer: &mut BytesMut,
        is_bulk: bool,
    ) -> io::Result<ReadOutcome<Seen>> {
        // In this order: what was queued before the peek has no fds if that saw none.
        let queued = if is_bulk {
            ioctl_fionread(fd)? as usize
        } else {
            0
        };
        let look = if is_bulk { 1 } else { LOOKED_AT };
        let (seen, has_fds) = peek_at(fd, buffer, look, self.room)?;
        let size = if has_fds {
            let (until, _) = peek_at(fd, buffer, scratch::SIZE, self.room)?;
            if until < scratch::SIZE || until <= most_together() {
                return Ok(ReadOutcome::some(Seen::Fds(until)));
            }
            until - most_together()
        } else {
            queued.clamp(seen, scratch::SIZE)
        };
        if size == 0 {
            return Ok(ReadOutcome::some(Seen::Eof));
        }
        // A short look has seen the whole queue.
        let is_all = seen < look && self.room == 0 && !has_fds;
        let credentials = if self.room == 0 {
            sys::message::recv_bytes_append(fd, &mut buffer.limit(size))?;
            None
        } else {
            let message = sys::message::recvmsg_append(fd, buffer, size, RecvFlags::DONTWAIT)?;
            Received::from_raw(message, size)?.and_then(|received| received.credentials)
        };
        Ok(ReadOutcome {
            is_all,
            result: Seen::Bytes(credentials),
        })
    }
}

fn peek_at(
    fd: BorrowedFd<'_>,
    buffer: &mut BytesMut,
    size: usize,
    room: usize,
) -> io::Result<(usize, bool)> {
    let space = buffer.spare_capacity_mut();
    let size = size.min(space.len());
    peek::bytes(fd, &mut space[..size], room)
}

/// What the search has read.
#[derive(Default)]
pub(super) struct FoundFds {
    pub(super) plain: BytesMut,
    /// The message that the fds came with, from their byte on.
    pub(super) with_fds: BytesMut,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) credentials: Option<Peer>,
}

impl FdSearch {
    /// Reads byte by byte until the fds come, then the rest of their message.
    pub(super) fn find(&mut self, fd: BorrowedFd<'_>) -> Result<FoundFds, RelayFailure> {
        let mut found = FoundFds::default();
        for _ in 0..ONE_BY_ONE.min(self.until) {
            let received = recv_some(fd, &mut found.plain, 1)?;
            self.until -= 1;
            found.credentials = received.credentials;
            if !received.descriptors.is_empty() {
                fd_headroom::spend(received.descriptors.len());
                found.fds = received.descriptors;
                found.with_fds = found.plain.split_off(found.plain.len() - 1);
                break;
            }
        }
        while !found.fds.is_empty() && self.until > 0 {
            self.until -= recv_some(fd, &mut found.with_fds, self.until)?.bytes;
        }
        Ok(found)
    }
}

/// Receives at most `size` of the bytes that are known to be queued.
fn recv_some(
    fd: BorrowedFd<'_>,
    bytes: &mut BytesMut,
    size: usize,
) -> Result<Received, RelayFailure> {
    bytes.reserve(size);
    let message = sys::message::recvmsg_append(fd, bytes, size, RecvFlags::DONTWAIT)?;
    match Received::from_raw(message, size) {
        Ok(Some(received)) => Ok(received),
        Ok(None) => Err(io::Error::from(Errno::IO).into()),
        Err(RecvError::DescriptorsLost) => Err(RelayFailure::FdsLost),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
