//! Records: each is received and sent on as a whole.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::net::RecvFlags;

use super::direction_state::{Arrival, WriterEnd};
use super::end::EndIo;
use super::fd_search::FdSearch;
use super::relay_direction::RelayDirection;
use super::relay_piece::RelayPiece;
use super::report::RelayFailure;
use super::settings::Settings;
use crate::ancillary::{Received, RecvError};
use crate::lazy_async_fd::{Direction, ReadOutcome};
use crate::passing::Passing;
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
        let (Some(socket), Some(reader)) = (source.as_socket_mut(), target.as_socket_mut()) else {
            return Poll::Ready(Arrival::End(WriterEnd::Eof));
        };
        ready!(socket.io.poll_ready(cx, Direction::Read)).ok();
        if socket.io.passing() == Passing::Receives {
            // Until there is room, fds wait in the kernel. A send tells why it fails.
            let _ = ready!(reader.poll_writable(cx));
            if self.may_lack_room_for_fds(socket.as_fd()) && brings_fds(socket.as_fd(), self.search)
            {
                ready!(self.poll_room_for_fds(cx, socket.as_fd(), target));
            }
        }
        let limit = settings.max_record;
        let mut buffer = SPARE.take();
        buffer.clear();
        buffer.reserve(limit);
        let read = socket.io.poll_read(cx, |fd| {
            let message = sys::message::recvmsg_append(fd, &mut buffer, limit, RecvFlags::DONTWAIT);
            message.map(|message| ReadOutcome::some(Received::from_raw(message, limit)))
        });
        let arrival = match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Ok(Some(received)))) => {
                Poll::Ready(self.pass_on_record(cx, target, settings, &buffer, received))
            }
            Poll::Ready(Ok(Ok(None))) => Poll::Ready(Arrival::End(WriterEnd::Eof)),
            Poll::Ready(Ok(Err(error))) => Poll::Ready(Arrival::Failure(failure_of(error))),
            // The kernel reports a reset before the records that are queued.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::ConnectionReset => {
                socket.was_reset = true;
                Poll::Ready(Arrival::Some)
            }
            Poll::Ready(Err(error)) => Poll::Ready(super::direction_state::arrival_of(Err(error))),
        };
        SPARE.set(buffer);
        arrival
    }

    fn pass_on_record(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut EndIo,
        settings: &Settings,
        record: &[u8],
        received: Received,
    ) -> Arrival {
        fd_headroom::spend(received.descriptors.len());
        let fds = match self.admit(received.descriptors) {
            Ok(fds) => fds,
            Err(failure) => return Arrival::Failure(failure),
        };
        let credentials = received.credentials.filter(|_| settings.passes_credentials);
        if fds.is_empty() && credentials.is_none() {
            self.send_record_now(cx, target, record);
        } else {
            let piece = RelayPiece::record(record).with_fds(fds);
            self.push(piece, credentials);
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

/// Whether the next record brings fds.
fn brings_fds(fd: BorrowedFd<'_>, search: FdSearch) -> bool {
    peek::has_control(fd, peek::TIME + search.credentials_room())
}

fn failure_of(error: RecvError) -> RelayFailure {
    match error {
        RecvError::TooLong { size, limit } => RelayFailure::RecordTooLong { size, limit },
        RecvError::DescriptorsLost => RelayFailure::FdsLost,
        error => RelayFailure::Io(error.into()),
    }
}
