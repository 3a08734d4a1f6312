//! [`RelaySocket`]: a socket on one side of a relay.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{AddressFamily, SendFlags, Shutdown, SocketType, UCred, sockopt};

use super::fd_policy::FdPolicy;
use crate::ancillary::{
    SendError, pass_credentials, pass_descriptors, pass_pidfds, sendmsg_as, sendmsg_once,
};
use crate::lazy_async_fd::{LazyAsyncFd, ReadOutcome};
use crate::passing::Passing;
use crate::sys;
use crate::sys::message::peek;

/// The most bytes of one sendmsg(2) to a UNIX stream: of a larger one that breaks off in the middle the
/// kernel reports no reset.
const MOST_AT_ONCE: usize = 32 << 10;

/// What the kernel wants of a send buffer besides the bytes of a record.
const RECORD_OVERHEAD: usize = 32;

/// What a relay has to know of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketKind {
    UnixStream,
    SeqPacket,
    /// A stream of another family.
    Network,
}

pub(super) struct RelaySocket {
    pub(super) io: LazyAsyncFd,
    pub(super) kind: SocketKind,
    /// The other process has closed without reading what was sent to it. No read may report that.
    pub(super) was_reset: bool,
    /// Whether we have shut it down for writing.
    is_write_closed: bool,
    /// A TCP connection is to be reset when it is closed.
    resets: bool,
}

impl RelaySocket {
    pub(super) fn new(io: LazyAsyncFd) -> Self {
        let kind = match sockopt::socket_domain(&io) {
            Ok(AddressFamily::UNIX) => match sockopt::socket_type(&io) {
                Ok(SocketType::SEQPACKET) => SocketKind::SeqPacket,
                _ => SocketKind::UnixStream,
            },
            _ => SocketKind::Network,
        };
        Self {
            io,
            kind,
            was_reset: false,
            is_write_closed: false,
            resets: false,
        }
    }

    /// Sets what the kernel is to do with fds that are passed to it, and whether each message comes
    /// with the credentials of its sender.
    pub(super) fn set_up(&mut self, policy: FdPolicy, credentials: bool) -> io::Result<()> {
        if self.kind == SocketKind::Network {
            self.io.set_passing(Passing::Refused);
            return Ok(());
        }
        let passing = self.io.passing();
        if policy == FdPolicy::Refuse && passing == Passing::Refused && !credentials {
            return Ok(());
        }
        if credentials || sys::socket::reports_credentials(self.as_fd()).unwrap_or(true) {
            pass_credentials(&self.io, credentials)?;
            // EINVAL and ENOPROTOOPT: it cannot be on then.
            let _ = pass_pidfds(&self.io, false);
        }
        let passing = match policy {
            FdPolicy::Pass | FdPolicy::Drop => {
                if passing != Passing::Receives {
                    pass_descriptors(&self.io, true)?;
                }
                Passing::Receives
            }
            FdPolicy::Refuse => {
                let room = if credentials {
                    peek::CREDENTIALS_ALONE
                } else {
                    0
                };
                let is_refused = pass_descriptors(&self.io, false)?;
                match self.kind {
                    // A record says whether it has any.
                    SocketKind::SeqPacket if is_refused => Passing::Unchecked,
                    _ if !is_refused || peek::has_control(self.as_fd(), room) => Passing::Discards,
                    _ if credentials => Passing::Unchecked,
                    _ => Passing::Refused,
                }
            }
        };
        self.io.set_passing(passing);
        Ok(())
    }

    /// From now on a drop resets a TCP connection.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.resets = self.kind == SocketKind::Network;
        if self.kind != SocketKind::SeqPacket {
            // A read that is faster than the report of out-of-band data loses nothing.
            sockopt::set_socket_oobinline(&self.io, true)?;
        }
        self.io.register_now()
    }

    /// A drop closes it in good order.
    pub(super) fn end_cleanly(&mut self) {
        self.resets = false;
    }

    /// Sends as much as there is room for: bytes of a stream, or the record.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        credentials: Option<&UCred>,
    ) -> Poll<Result<usize, SendError>> {
        let bytes = match self.kind {
            SocketKind::UnixStream => &bytes[..bytes.len().min(MOST_AT_ONCE)],
            _ => bytes,
        };
        let sent = self.io.poll_write(cx, |fd| {
            let flags = SendFlags::DONTWAIT;
            SendError::split_would_block(match credentials {
                None => sendmsg_once(fd, bytes, fds, None, flags),
                Some(credentials) => sendmsg_as(credentials, fd, bytes, fds, None, flags),
            })
        });
        sent.map(|sent| sent.map_err(SendError::Io)?)
    }

    /// Waits until there is room to send, without sending.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kind = self.kind;
        self.io.poll_write(cx, |fd| {
            if events(fd, PollFlags::OUT).is_empty() && !takes_no_more(fd, kind) {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        })
    }

    /// Whether the send buffer has room for a record of that size now, and had not before.
    pub(super) fn grow_send_buffer(&self, size: usize) -> bool {
        let room = || sockopt::socket_send_buffer_size(&self.io).unwrap_or(0);
        let before = room();
        let wanted = size + RECORD_OVERHEAD;
        // With CAP_NET_ADMIN beyond net.core.wmem_max.
        if sockopt::set_socket_send_buffer_size_force(&self.io, wanted).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(&self.io, wanted);
        }
        before < wanted && room() >= wanted
    }

    /// Half-closes. Where that fails, the other side has gone, and a read finds that out.
    pub(super) fn close_write(&mut self) {
        self.is_write_closed = true;
        let _ = rustix::net::shutdown(&self.io, Shutdown::Write);
    }

    pub(super) fn close_read(&self) {
        let _ = rustix::net::shutdown(&self.io, Shutdown::Read);
    }

    /// Waits until there is unread input, or there can be none any more.
    pub(super) fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let has_unread = self.io.poll_read(cx, |fd| {
            let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
            // In this order: input may come before the end.
            let is_over = events(fd, PollFlags::RDHUP).intersects(ends);
            let has_unread = ioctl_fionread(fd)? > 0;
            if has_unread || is_over {
                Ok(ReadOutcome::some(has_unread))
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        has_unread.map(|has_unread| has_unread.unwrap_or(false))
    }

    /// Completes once the other process has closed its connection, or both directions of it; never
    /// where we have closed one.
    pub(super) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_write_closed {
            Poll::Pending
        } else {
            self.io.poll_hang_up(cx).map(drop)
        }
    }

    /// Whether it is so.
    pub(super) fn hangs_up(&self) -> bool {
        let ends = PollFlags::HUP | PollFlags::ERR;
        !self.is_write_closed && self.events(PollFlags::empty()).intersects(ends)
    }

    /// Whether out-of-band data came.
    pub(super) fn is_urgent(&self) -> bool {
        self.io.may_be_urgent() && self.events(PollFlags::PRI).contains(PollFlags::PRI)
    }

    pub(super) fn takes_no_more(&self) -> bool {
        takes_no_more(self.io.as_fd(), self.kind)
    }

    /// How much of what was sent to a TCP peer would be lost by a close that resets the connection.
    pub(super) fn unsent(&self) -> u32 {
        if self.kind != SocketKind::Network || self.hangs_up() {
            return 0;
        }
        sys::socket::unread_by_peer(self.io.as_fd()).unwrap_or(0)
    }

    /// A close resets a TCP connection that has unread input.
    pub(super) fn has_unread(&self) -> bool {
        ioctl_fionread(&self.io).is_ok_and(|queued| queued > 0)
    }

    fn events(&self, wanted: PollFlags) -> PollFlags {
        events(self.io.as_fd(), wanted)
    }
}

/// Whether the reader of a stream has shut down its side: poll(2) does not tell, but a send of nothing.
fn takes_no_more(fd: BorrowedFd<'_>, kind: SocketKind) -> bool {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    kind == SocketKind::UnixStream && rustix::net::send(fd, &[], flags) == Err(Errno::PIPE)
}

/// What poll(2) reports now.
fn events(fd: BorrowedFd<'_>, wanted: PollFlags) -> PollFlags {
    let mut found = [PollFd::from_borrowed_fd(fd, wanted)];
    match poll(&mut found, Some(&Timespec::default())) {
        Ok(_) => found[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

impl AsFd for RelaySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        if self.resets {
            let _ = sockopt::set_socket_linger(&self.io, Some(Duration::ZERO));
        }
    }
}
