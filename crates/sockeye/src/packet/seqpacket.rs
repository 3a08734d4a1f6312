//! [`SeqPacket`]: a connected UNIX seqpacket socket on tokio.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::net::{SendFlags, Shutdown, SocketFlags};
use tokio::io::Interest;

use super::blocking::BlockingSeqPacket;
use crate::address::Kind;
use crate::adopt::{self, AdoptError};
use crate::ancillary::{Received, RecvError, SendError, close_in_background, sendmsg_once};
use crate::busy_poll::BusyPoll;
use crate::lazy_async_fd::{LazyAsyncFd, ReadOutcome};
use crate::passing::Passing;
use crate::peer::Peer;
use crate::{recv, socket, sys};

/// A connected UNIX seqpacket socket on a tokio runtime.
///
/// ```
/// # use sockeye::packet::SeqPacket;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (left, right) = SeqPacket::pair()?;
/// left.send(b"one").await?;
/// left.send(b"").await?;
/// drop(left);
/// let mut buffer = [0; 1024];
/// assert_eq!(right.recv(&mut buffer).await?, Some(3));
/// assert_eq!(right.recv(&mut buffer).await?, Some(0), "an empty record");
/// assert_eq!(right.recv(&mut buffer).await?, None, "the end");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "SOCK_SEQPACKET")]
pub struct SeqPacket {
    io: LazyAsyncFd,
    busy: Option<Box<BusyPoll>>,
}

impl SeqPacket {
    /// A connected pair (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(Kind::SeqPacket, SocketFlags::NONBLOCK)?;
        Ok((
            Self::from_nonblocking(left)?,
            Self::from_nonblocking(right)?,
        ))
    }

    /// Adopts a file descriptor of a connected UNIX seqpacket socket. It is made close-on-exec,
    /// and non-blocking for every process that shares it.
    ///
    /// # Errors
    /// [`AdoptError`] says what the fd is instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn adopt(fd: OwnedFd) -> Result<Self, AdoptError> {
        adopt::connected(fd.as_fd(), Kind::SeqPacket)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::from_nonblocking(fd).map_err(AdoptError::Io)
    }

    #[track_caller]
    pub(crate) fn from_nonblocking(fd: OwnedFd) -> io::Result<Self> {
        sys::message::mark_records(fd.as_fd())?;
        let io = LazyAsyncFd::registered(fd, true)?;
        Ok(Self { io, busy: None })
    }

    /// Takes a new non-blocking fd, which is registered with epoll(7) once it has to wait.
    pub(crate) fn from_accepted(fd: OwnedFd, passing: Passing) -> io::Result<Self> {
        sys::message::mark_records(fd.as_fd())?;
        let mut io = LazyAsyncFd::new(fd, passing);
        io.share();
        Ok(Self { io, busy: None })
    }

    /// Turns it into a blocking socket.
    ///
    /// # Errors
    /// As ioctl(2) `FIONBIO`.
    pub fn into_blocking(self) -> io::Result<BlockingSeqPacket> {
        let fd = OwnedFd::from(self.io);
        rustix::io::ioctl_fionbio(&fd, false)?;
        BlockingSeqPacket::from_connected(fd)
    }

    /// The peer credentials (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As [`Peer::of`].
    pub fn peer(&self) -> io::Result<Peer> {
        Peer::of(self)
    }

    /// Sends one record.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send(&self, record: &[u8]) -> Result<(), SendError> {
        self.send_msg(record, &[]).await
    }

    /// Sends one record and duplicates of the fds in `descriptors` (`SCM_RIGHTS`).
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(
        &self,
        record: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let send = |fd: BorrowedFd<'_>| {
            SendError::split_would_block(sendmsg_once(
                fd,
                record,
                descriptors,
                None,
                SendFlags::DONTWAIT,
            ))
        };
        self.io.io(Interest::WRITABLE, send).await??;
        Ok(())
    }

    /// Receives one record, and returns its size; `None` at EOF. Received fds are closed.
    ///
    /// # Errors
    /// [`RecvError`]; a record that does not fit is lost. `ECONNRESET` is reported once where the
    /// peer has closed without receiving all that was sent to it; records that it sent can be
    /// received after that.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        let received = self.recv_msg(buffer).await?;
        Ok(received.map(|received| {
            close_in_background(received.descriptors);
            received.bytes
        }))
    }

    /// Receives one record with its ancillary data; `None` at EOF.
    ///
    /// # Errors
    /// [`RecvError`]; a record that does not fit is lost. `ECONNRESET` is reported once where the
    /// peer has closed without receiving all that was sent to it; records that it sent can be
    /// received after that.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_msg(&self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let passing = self.io.passing();
        let try_recv = |fd: BorrowedFd<'_>| {
            RecvError::split_would_block(recv::try_recv_record(fd, buffer, passing))
        };
        self.io.io(Interest::READABLE, try_recv).await?
    }

    pub(crate) fn poll_recv_msg(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<Received>, RecvError>> {
        let passing = self.io.passing();
        let received = recv::poll_recv(&mut self.io, &mut self.busy, cx, |fd| {
            let received = recv::try_recv_record(fd, buffer, passing);
            RecvError::split_would_block(received).map(ReadOutcome::some)
        });
        received.map(|received| received?)
    }

    pub(crate) fn io(&self) -> &LazyAsyncFd {
        &self.io
    }

    pub(crate) fn into_io(self) -> LazyAsyncFd {
        self.io
    }

    pub(crate) fn passing(&self) -> Passing {
        self.io.passing()
    }

    pub(crate) fn set_passing(&mut self, passing: Passing) {
        self.io.set_passing(passing);
    }

    /// Busy polls before a read of a server's connection or of [`SeqPacket::recv_polling`] sleeps.
    pub fn set_busy_poll(&mut self, busy: BusyPoll) {
        self.busy = Some(Box::new(busy));
    }

    /// As [`SeqPacket::recv_msg`], but busy polls before it sleeps, if [`SeqPacket::set_busy_poll`] is
    /// set. Only one task at a time can wait like this.
    ///
    /// # Errors
    /// As [`SeqPacket::recv_msg`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv_polling(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        poll_fn(|cx| self.poll_recv_msg(cx, buffer)).await
    }

    /// Half-closes: with [`Shutdown::Write`] the peer reads to EOF, and can still answer.
    ///
    /// # Errors
    /// As shutdown(2).
    #[doc(alias = "half-close")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, how)?)
    }
}

impl AsFd for SeqPacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

crate::raw_fd::as_raw_fd!(SeqPacket);

impl From<SeqPacket> for OwnedFd {
    /// The fd, which is non-blocking; [`SeqPacket::into_blocking`] makes it block.
    fn from(socket: SeqPacket) -> Self {
        socket.io.into()
    }
}
