//! Readiness of a [`Stream`], and attempts that do not wait.

use std::io::{self, IoSlice};

use bytes::BufMut;
use tokio::io::{Interest, Ready};

use super::Stream;
use super::sending::{try_send, try_send_vectored};
use crate::lazy_async_fd::LazyAsyncFd;
use crate::recv;

impl Stream {
    /// Waits until [`Stream::try_read`] may succeed. It may fail all the same
    /// ([`io::ErrorKind::WouldBlock`]): call this again then.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.ready(Interest::READABLE).await?;
        Ok(())
    }

    /// Waits until [`Stream::try_write`] may succeed. It may fail all the same
    /// ([`io::ErrorKind::WouldBlock`]): call this again then.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn writable(&mut self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await?;
        Ok(())
    }

    /// Waits until an attempt in one of these directions may succeed, and tells in which, and whether the
    /// peer has closed. A direction that was ready stays so, and this does not wait, until an attempt has
    /// failed with [`io::ErrorKind::WouldBlock`].
    ///
    /// ```
    /// # use std::io::ErrorKind;
    /// # use sockeye::Stream;
    /// # use tokio::io::Interest;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let (mut left, right) = Stream::pair()?;
    /// right.try_write(b"ping")?;
    /// let mut buffer = [0; 64];
    /// let count = loop {
    ///     let ready = left.ready(Interest::READABLE | Interest::WRITABLE).await?;
    ///     if ready.is_readable() {
    ///         match left.try_read(&mut buffer) {
    ///             Err(error) if error.kind() == ErrorKind::WouldBlock => {}
    ///             read => break read?,
    ///         }
    ///     }
    ///     // Otherwise send what is queued here, if `ready.is_writable()`.
    /// #   tokio::task::yield_now().await;
    /// };
    /// assert_eq!(&buffer[..count], b"ping");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As epoll_ctl(2).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn ready(&mut self, interest: Interest) -> io::Result<Ready> {
        if interest.is_writable() {
            self.share();
        }
        self.io.ready(interest).await
    }

    /// Reads what is queued, without waiting, and returns the number of bytes; 0 at EOF. Received fds
    /// are closed.
    ///
    /// # Errors
    /// As recvmsg(2); [`io::ErrorKind::WouldBlock`] where nothing is queued.
    pub fn try_read(&self, mut buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read_buf(&mut buffer)
    }

    /// As [`Stream::try_read`], into the free room of a buffer, which grows by what was read.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        try_read_buf(&self.io, buffer)
    }

    /// Sends what the socket buffer has room for, without waiting, and returns the number of bytes.
    ///
    /// # Errors
    /// As send(2); [`io::ErrorKind::WouldBlock`] where there is no room.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        try_write(&self.io, bytes)
    }

    /// As [`Stream::try_write`], from several slices.
    ///
    /// # Errors
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        try_write_vectored(&self.io, slices)
    }

    /// Makes one attempt with a system call of your own, on the stream's fd and without waiting. If it
    /// fails with [`io::ErrorKind::WouldBlock`], [`Stream::readable`], [`Stream::writable`] and
    /// [`Stream::ready`] wait again; they do not notice attempts that are made without this call.
    ///
    /// ```
    /// use rustix::net::{RecvFlags, recv};
    /// use sockeye::Stream;
    /// use tokio::io::Interest;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let (left, right) = Stream::pair()?;
    /// right.try_write(b"ping")?;
    /// left.readable().await?;
    /// let mut first = [0];
    /// left.try_io(Interest::READABLE, || {
    ///     Ok(recv(&left, &mut first, RecvFlags::PEEK | RecvFlags::DONTWAIT)?)
    /// })?;
    /// assert_eq!(&first, b"p", "and it is still queued");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As `attempt`.
    pub fn try_io<T>(
        &self,
        interest: Interest,
        attempt: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.io.try_io(interest, |_| attempt())
    }
}

pub(crate) fn try_read(io: &LazyAsyncFd, mut buffer: &mut [u8]) -> io::Result<usize> {
    try_read_buf(io, &mut buffer)
}

pub(super) fn try_read_buf(io: &LazyAsyncFd, buffer: &mut impl BufMut) -> io::Result<usize> {
    let passing = io.passing();
    let read = io.try_io(Interest::READABLE, |fd| {
        recv::try_recv_bytes(fd, buffer, passing)
    });
    Ok(read?.result)
}

pub(crate) fn try_write(io: &LazyAsyncFd, bytes: &[u8]) -> io::Result<usize> {
    io.try_io(Interest::WRITABLE, |fd| try_send(fd, bytes))
}

pub(super) fn try_write_vectored(io: &LazyAsyncFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    io.try_io(Interest::WRITABLE, |fd| try_send_vectored(fd, slices))
}
