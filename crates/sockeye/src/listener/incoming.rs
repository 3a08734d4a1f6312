//! [`Incoming`]: the connections of a listener as a stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream as FuturesStream;
use rustix::io::Errno;
use tokio_util::sync::ReusableBoxFuture;

use super::{ConnectedSocket, SocketListener};

/// The connections of a listener, as a [`futures_core::Stream`]; made by [`SocketListener::incoming`].
///
/// [`futures_core::Stream`]: https://docs.rs/futures-core/latest/futures_core/stream/trait.Stream.html
#[must_use = "it accepts nothing unless it is polled"]
pub struct Incoming<'a, S> {
    listener: &'a SocketListener<S>,
    accept: ReusableBoxFuture<'a, io::Result<S>>,
    has_ended: bool,
}

impl<S: ConnectedSocket> SocketListener<S> {
    /// The connections as a [`Stream`](futures_util::Stream), which ends after the error `EINVAL`:
    /// the socket was shut down. Other errors are those of one [`accept`](Self::accept), and the next
    /// item may be a connection; where fds have run out (`EMFILE`), wait before it is polled again, as
    /// [`Server`](crate::server::Server) does.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use sockeye::{Address, Claim, Connector, Listener};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let address = Address::from_path(dir.path().join("app.sock"))?;
    /// let listener = Listener::open(&address, &Claim::options())?;
    /// let _client = Connector::new().connect(&address).await?;
    /// let mut incoming = listener.incoming();
    /// if let Some(connection) = incoming.next().await {
    ///     println!("accepted {}", connection?.peer()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn incoming(&self) -> Incoming<'_, S> {
        Incoming {
            listener: self,
            accept: ReusableBoxFuture::new(self.accept()),
            has_ended: false,
        }
    }
}

impl<S: ConnectedSocket> FuturesStream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<S>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let accepted = ready!(self.accept.poll(cx));
        let listener = self.listener;
        self.accept.set(listener.accept());
        if let Err(error) = &accepted {
            self.has_ended = Errno::from_io_error(error) == Some(Errno::INVAL);
        }
        Poll::Ready(Some(accepted))
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("listener", self.listener)
            .finish_non_exhaustive()
    }
}
