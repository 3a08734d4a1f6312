//! A seqpacket [`Connection`]: records with the server's timeouts.

use std::future::{Future, poll_fn};
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::task::{Context, Poll};

use super::Connection;
use crate::ancillary::{Received, RecvError, SendError};
use crate::lazy_async_fd::Direction;
use crate::packet::SeqPacket;

impl Connection<SeqPacket> {
    /// Receives one record with its ancillary data, as [`SeqPacket::recv_msg`] does.
    ///
    /// # Errors
    /// [`RecvError`], and [`TimedOut`](std::io::ErrorKind::TimedOut) where one of the server's timeouts has passed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        poll_fn(|cx| self.poll_recv_msg(cx, buffer)).await
    }

    pub(in crate::server) fn poll_recv_msg(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<Received>, RecvError>> {
        self.core.check_abort()?;
        let received = self.core.socket_mut().poll_recv_msg(cx, buffer).map(Ok);
        self.enforce(cx, Direction::Read, received)
            .map(|received| received?)
    }

    /// Notes that no send waits.
    pub(in crate::server) fn note_no_send(&self) {
        self.core.guard().note_sending(false);
    }

    /// Sends one record and duplicates of the fds in `descriptors`.
    ///
    /// # Errors
    /// [`SendError`], and [`TimedOut`](std::io::ErrorKind::TimedOut) where the peer reads nothing for as long as
    /// the server's idle timeout; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(
        &mut self,
        record: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let Self { core, waiting } = self;
        let waiting = &mut waiting[Direction::Write as usize];
        let mut sent = pin!(core.socket().send_msg(record, descriptors));
        poll_fn(|cx| {
            core.check_abort()?;
            let sent = sent.as_mut().poll(cx).map(Ok);
            core.enforce(waiting, cx, Direction::Write, sent)
                .map(|sent| sent?)
        })
        .await
    }
}
