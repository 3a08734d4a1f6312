//! Records: each is received and sent on as a whole.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::net::RecvFlags;

use super::direction_state::{Arrival, WriterEnd, arrival_of};
use super::end::EndIo;
use super::relay_direction::RelayDirection;
use super::relay_piece::RelayPiece;
use super::report::RelayFailure;
use super::settings::Settings;
use crate::ancillary::{Received, RecvError};
use crate::lazy_async_fd::ReadOutcome;
use crate::sys::message::peek;
use crate::{fd_headroom, sys};

thread_local! {
    /// The read buffer of a thread, with room for the largest record.
    static SPARE: Cell<BytesMut> = Cell::default();
}

impl RelayDirection {
    pub(super) fn poll_record(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
        settings: &Settings,
    ) -> Poll<Arrival> {
        let Some(socket) = source.as_socket_mut() else {
            return Poll::Ready(Arrival::End(WriterEnd::Eof));
        };
        // It is looked at first: one that is too long stays unread, which resets its sender.
        let room = peek::TIME + self.search.credentials_room();
        let look = |fd: BorrowedFd<'_>| peek::descriptors(fd, 0, 0, room).map(ReadOutcome::some);
        let seen = match ready!(socket.io.poll_read(cx, look)) {
            Ok(seen) => seen,
            // The kernel reports a reset before the records that are queued.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                socket.was_reset = true;
                return Poll::Ready(Arrival::Some);
            }
            Err(error) => return Poll::Ready(arrival_of(Err(error))),
        };
        let (size, limit) = (seen.length, settings.max_record);
        if size > limit {
            let failure = RelayFailure::RecordTooLong { size, limit };
            return Poll::Ready(Arrival::Failure(failure));
        }
        if seen.is_control_truncated {
            ready!(self.poll_reader(cx, socket.as_fd(), target));
        }
        let mut buffer = SPARE.take();
        buffer.clear();
        buffer.reserve(limit);
        let fd = socket.as_fd();
        let message = sys::message::recvmsg_append(fd, &mut buffer, limit, RecvFlags::DONTWAIT);
        let arrival = match message.map(|message| Received::from_raw(message, limit)) {
            Ok(Ok(Some(received))) => self.pass_on_record(cx, target, &buffer, received),
            Ok(Ok(None)) => Arrival::End(WriterEnd::Eof),
            Ok(Err(error)) => Arrival::Failure(failure_of(error)),
            // The peer has died since the look, and the records are still queued.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                socket.was_reset = true;
                Arrival::Some
            }
            // Another process has it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Arrival::Some,
            Err(error) => arrival_of(Err(error)),
        };
        SPARE.set(buffer);
        Poll::Ready(arrival)
    }

    fn pass_on_record(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut EndIo,
        record: &[u8],
        received: Received,
    ) -> Arrival {
        fd_headroom::spend(received.descriptors.len());
        let fds = match self.admit(received.descriptors) {
            Ok(fds) => fds,
            Err(failure) => return Arrival::Failure(failure),
        };
        let sender = match self.sender(received.credentials) {
            Ok(sender) => sender,
            Err(failure) => return Arrival::Failure(failure),
        };
        if fds.is_empty() && sender.is_none() {
            self.send_record_now(cx, target, record);
        } else {
            let piece = RelayPiece::record(record).with_fds(fds);
            self.push(piece, sender);
        }
        Arrival::Some
    }

    /// The fds that are passed on.
    pub(super) fn admit(&mut self, fds: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, RelayFailure> {
        match self.fds {
            _ if fds.is_empty() => Ok(fds),
            super::FdPolicy::Pass => Ok(fds),
            super::FdPolicy::Drop => {
                self.report.lost_fds += fds.len() as u64;
                crate::ancillary::close_in_background(fds);
                Ok(Vec::new())
            }
            super::FdPolicy::Refuse => {
                self.report.lost_fds += fds.len() as u64;
                crate::ancillary::close_in_background(fds);
                Err(RelayFailure::FdsNotAllowed)
            }
        }
    }
}

fn failure_of(error: RecvError) -> RelayFailure {
    match error {
        RecvError::TooLong { size, limit } => RelayFailure::RecordTooLong { size, limit },
        RecvError::DescriptorsLost => RelayFailure::FdsLost,
        error => RelayFailure::Io(error.into()),
    }
}
