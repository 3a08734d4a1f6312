//! How [`Messages`] sends.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::Messages;
use super::transport::MessageWriter;
use crate::framing::FramingError;

impl<S: MessageWriter> Messages<S> {
    /// Sends a message: `payload` with its newline or length field.
    ///
    /// # Errors
    /// [`FramingError::NewlineInLine`] where a line has a newline in it, and nothing is sent then;
    /// otherwise as [`Messages::send_raw`].
    ///
    /// # Cancel safety
    /// None: part of the message may have been sent.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), FramingError> {
        let wire = self.codec.framing().encode(payload)?;
        Ok(self.send_raw(&wire).await?)
    }

    /// Sends bytes as they are: messages that [`Framing::encode`](crate::framing::Framing::encode) has
    /// made before, say.
    ///
    /// # Errors
    /// As write(2). On a server's connection [`io::ErrorKind::TimedOut`] where the peer reads nothing
    /// for as long as the idle timeout, and
    /// [`LimitError::Buffered`](crate::server::LimitError::Buffered) where the server has evicted it.
    ///
    /// # Cancel safety
    /// None: part of the bytes may have been sent.
    pub async fn send_raw(&mut self, wire: &[u8]) -> io::Result<()> {
        let sent = self.send_now(wire)?;
        if sent < wire.len() {
            self.send_rest(&wire[sent..], &[]).await?;
        }
        Ok(())
    }

    /// Sends a message as [`Messages::send`] does, and duplicates of the fds in `descriptors` with its
    /// first byte (`SCM_RIGHTS`).
    ///
    /// # Errors
    /// As [`Messages::send`]; a [`SendError`](crate::ancillary::SendError) is inside of the
    /// [`io::Error`].
    ///
    /// # Cancel safety
    /// None: part of the message may have been sent, with the fds.
    #[doc(alias = "SCM_RIGHTS")]
    #[doc(alias = "fd passing")]
    pub async fn send_msg(
        &mut self,
        payload: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), FramingError> {
        let wire = self.codec.framing().encode(payload)?;
        Ok(self.send_rest(&wire, descriptors).await?)
    }

    /// Sends as many bytes as the socket buffer has room for, without waiting, and returns their number.
    ///
    /// # Errors
    /// As write(2); on a server's connection
    /// [`LimitError::Aborted`](crate::server::LimitError::Aborted) once a drain is over.
    pub fn send_now(&mut self, wire: &[u8]) -> io::Result<usize> {
        match self.connection.send_now(wire) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(0)
            }
            sent => sent,
        }
    }

    async fn send_rest(
        &mut self,
        mut rest: &[u8],
        mut descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        // Bytes behind the message that this answers are parked as well.
        self.keep_the_rest();
        poll_fn(|cx| self.poll_send(cx, &mut rest, &mut descriptors)).await?;
        self.hold = None;
        Ok(())
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        rest: &mut &[u8],
        descriptors: &mut &[BorrowedFd<'_>],
    ) -> Poll<io::Result<()>> {
        self.unpark()?;
        let sent = self.connection.poll_send_msg(cx, rest, descriptors);
        if sent.is_pending() {
            self.park(cx.waker(), rest.len())?;
        }
        sent.map_err(io::Error::from)
    }
}
