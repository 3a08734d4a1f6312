//! [`Caller`]: who has sent a request.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::process::Pid;
use tokio_util::sync::CancellationToken;

use super::exchanges::Exchanges;
use crate::peer::{self, Peer};
use crate::server::{Connection, LatchWaiter};

/// Who has sent a request: the peer credentials of its connection (`SO_PEERCRED`, `SO_PEERGROUPS`), read
/// once, when it was accepted. An extension of each request.
///
/// ```
/// use http::Request;
/// use sockeye::http::Caller;
///
/// fn greeting<B>(request: &Request<B>) -> String {
///     match request.extensions().get::<Caller>().and_then(Caller::uid) {
///         Some(uid) => format!("hello, user {uid}"),
///         None => "hello, whoever you are".into(),
///     }
/// }
///
/// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
/// let mut request = Request::new(());
/// request.extensions_mut().insert(Caller::of(&ours)?);
/// assert!(greeting(&request).starts_with("hello, user "));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SO_PEERCRED")]
#[doc(alias = "SO_PEERGROUPS")]
#[derive(Debug, Clone)]
pub struct Caller(Arc<CallerConnection>);

/// One connection: its caller, and what is under way.
#[derive(Debug)]
struct CallerConnection {
    peer: Peer,
    groups: Box<[u32]>,
    exchanges: Exchanges,
    /// `None` without a server.
    drain: Option<LatchWaiter>,
}

impl Caller {
    /// The caller of a connected socket, for tests of services.
    ///
    /// # Errors
    /// As [`Peer::of`] and [`peer::groups`].
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        Self::new(socket, None)
    }

    pub(super) fn of_connection(connection: &Connection) -> io::Result<Self> {
        Self::new(connection, Some(connection.on_drain()))
    }

    fn new(socket: impl AsFd, drain: Option<LatchWaiter>) -> io::Result<Self> {
        Ok(Self(Arc::new(CallerConnection {
            peer: Peer::of(&socket)?,
            groups: peer::groups(&socket)?.into(),
            exchanges: Exchanges::new(),
            drain,
        })))
    }

    /// The effective user id; `None` where it has no mapping in our user namespace.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.0.peer.uid()
    }

    /// The effective group id; `None` where it has no mapping in our user namespace.
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        self.0.peer.gid()
    }

    /// The process that has connected; `None` where it lies outside of our pid namespace. The pid can be
    /// another process's by now, and the connection can have been passed on.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.0.peer.pid()
    }

    /// The supplementary groups when it connected.
    #[must_use]
    pub fn groups(&self) -> &[u32] {
        &self.0.groups
    }

    /// Cancelled when the server that it has called begins to drain, because of its shutdown or a takeover: the
    /// time to end an event stream or an upgraded connection, which otherwise lasts until the drain timeout.
    ///
    /// ```
    /// use futures_util::{Stream, StreamExt};
    /// use sockeye::http::Caller;
    ///
    /// /// An event stream that ends with the server.
    /// fn until_shutdown<T>(caller: &Caller, events: impl Stream<Item = T>) -> impl Stream<Item = T> {
    ///     events.take_until(caller.shutdown_token().cancelled_owned())
    /// }
    /// # let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// # let _ = until_shutdown(&Caller::of(&ours)?, futures_util::stream::pending::<()>());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "graceful shutdown")]
    #[must_use]
    pub fn shutdown_token(&self) -> CancellationToken {
        let drain = self.0.drain.as_ref();
        drain.map_or_else(CancellationToken::new, LatchWaiter::token)
    }

    /// The caller of a request.
    pub(super) fn in_extensions(extensions: &http::Extensions) -> Option<&Self> {
        let caller = extensions.get::<Self>();
        #[cfg(feature = "axum08")]
        let caller = caller.or_else(|| {
            let info: &axum::extract::ConnectInfo<Self> = extensions.get()?;
            Some(&info.0)
        });
        caller
    }

    pub(super) fn exchanges(&self) -> &Exchanges {
        &self.0.exchanges
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};

    use super::*;
    use crate::http::in_flight::{InFlightFuture, RequestInFlight};

    #[tokio::test]
    async fn nothing_of_an_upgraded_connection_is_left() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let caller = Caller::of(ours).unwrap();
        let exchange = RequestInFlight::begin(caller.clone(), &Request::new(String::new()));
        let mut switch = Response::new(String::new());
        *switch.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let response = std::future::ready(Ok::<_, io::Error>(switch));
        drop(InFlightFuture::new(Some(exchange), response).await.unwrap());
        assert!(!caller.exchanges().is_idle());
        assert_eq!(Arc::strong_count(&caller.0), 1);
    }
}
