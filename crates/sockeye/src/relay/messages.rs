//! Messages of a stream: bytes, with the fds and the credentials that came with them.

use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use super::direction_state::{Arrival, WriterEnd, arrival_of};
use super::end::EndIo;
use super::fd_search::{FoundFds, LOOKED_AT, Seen};
use super::pause::Pause;
use super::relay_direction::RelayDirection;
use super::relay_piece::RelayPiece;
use super::report::RelayFailure;
use crate::ancillary::MAX_DESCRIPTORS;
use crate::peer::Peer;
use crate::{closing, fd_headroom, scratch, sys};

/// How many fds the reader of a connection may leave unread before no more are sent to it.
const MOST_IN_FLIGHT: usize = 4 * MAX_DESCRIPTORS;

impl RelayDirection {
    /// Receives bytes, with fds beside their byte.
    pub(super) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
    ) -> Poll<Arrival> {
        if self.search.has_found() {
            return self.poll_search(cx, source, target);
        }
        let Some(socket) = source.as_socket_mut() else {
            return Poll::Pending;
        };
        let mut buffer = scratch::take(scratch::SIZE);
        let (search, is_bulk) = (self.search, self.is_bulk);
        let read = socket
            .io
            .poll_read(cx, |fd| search.try_recv(fd, &mut buffer, is_bulk));
        let arrival = match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Seen::Bytes(credentials))) => {
                self.is_bulk = buffer.len() >= LOOKED_AT;
                Poll::Ready(self.pass_on(cx, target, &buffer, credentials))
            }
            Poll::Ready(Ok(Seen::Eof)) => Poll::Ready(Arrival::End(WriterEnd::Eof)),
            Poll::Ready(Ok(Seen::Fds(until))) => {
                self.search.begin(until);
                Poll::Ready(Arrival::Some)
            }
            Poll::Ready(Err(error)) => Poll::Ready(arrival_of(Err(error))),
        };
        scratch::put_back(buffer);
        arrival
    }

    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut EndIo,
        bytes: &[u8],
        credentials: Option<Peer>,
    ) -> Arrival {
        match self.sender(credentials) {
            Ok(sender) => self.send_now(cx, target, bytes, sender),
            Err(failure) => return Arrival::Failure(failure),
        }
        Arrival::Some
    }

    /// Reads byte by byte until the fds come, once the other side has room: until then they wait in the
    /// kernel.
    fn poll_search(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut EndIo,
        target: &mut EndIo,
    ) -> Poll<Arrival> {
        let Some(socket) = source.as_socket() else {
            return Poll::Pending;
        };
        ready!(self.poll_reader(cx, socket.as_fd(), target));
        let found = self.search.find(socket.as_fd());
        let goes_on = found.as_ref().is_ok_and(|found| found.fds.is_empty());
        if let Err(failure) = found.and_then(|found| self.pass_on_found(found)) {
            return Poll::Ready(Arrival::Failure(failure));
        }
        if goes_on {
            // Each byte costs a system call: others are polled first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Arrival::Some)
    }

    fn pass_on_found(&mut self, found: FoundFds) -> Result<(), RelayFailure> {
        let sender = self.sender(found.credentials)?;
        let fds = self.admit(found.fds)?;
        for (bytes, fds) in [(found.plain, Vec::new()), (found.with_fds, fds)] {
            if !bytes.is_empty() {
                let piece = RelayPiece::of_bytes(&bytes).with_fds(fds);
                self.push(piece, sender);
            }
        }
        Ok(())
    }

    /// Waits until the reader takes fds, and this process has room for them. Until then they stay in the
    /// kernel. A send tells why it fails.
    pub(super) fn poll_reader(
        &mut self,
        cx: &mut Context<'_>,
        source: BorrowedFd<'_>,
        target: &mut EndIo,
    ) -> Poll<()> {
        self.waits_for_reader = true;
        if let Some(target) = target.as_socket_mut() {
            let _ = ready!(target.poll_writable(cx));
        }
        ready!(self.poll_room_for_fds(cx, source, target));
        self.waits_for_reader = false;
        Poll::Ready(())
    }

    /// Waits until any number of fds may be received, and sent on.
    fn poll_room_for_fds(
        &mut self,
        cx: &mut Context<'_>,
        source: BorrowedFd<'_>,
        target: &EndIo,
    ) -> Poll<()> {
        while !self.has_room_for_fds(source, target) {
            match &mut self.pause {
                Some(pause) => {
                    ready!(pause.poll_over(cx));
                    pause.begin();
                }
                None => self.pause = Some(Box::new(Pause::new())),
            }
        }
        self.pause = None;
        Poll::Ready(())
    }

    /// Not while the reader leaves too many unread: those of all connections count against one limit
    /// (unix(7), `ETOOMANYREFS`).
    fn has_room_for_fds(&mut self, source: BorrowedFd<'_>, target: &EndIo) -> bool {
        if self.in_flight + MAX_DESCRIPTORS > MOST_IN_FLIGHT {
            if let Some(target) = target.as_socket()
                && let Ok(1..) = sys::socket::unread_by_peer(target.as_fd())
                && !target.takes_no_more()
            {
                return false;
            }
            self.in_flight = 0;
        }
        has_headroom(source)
    }
}

/// Whether any number of fds may be received.
fn has_headroom(source: BorrowedFd<'_>) -> bool {
    closing::has_room() && fd_headroom::has_room_for_any_message(source)
}
