//! [`Incoming`]: the connections of a server, for a foreign accept loop.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream as FuturesStream;
use tokio::sync::{mpsc, watch};

use super::{HEAD_TIMEOUT, IncomingConnection};
use crate::listener::Listener;
use crate::server::{Connection, Report, Server, ServerError};

/// So many connections may wait for the foreign server, beside those in their handlers.
const QUEUE: usize = 16;

type Outcome = Result<Report, Arc<ServerError>>;

/// The connections of a [`Server`], for an HTTP server with an accept loop of its own: `axum::serve`
/// (feature `axum08`) and tonic's `serve_with_incoming_shutdown` (feature `tonic014`). [`serve`](super::serve())
/// does without one, and takes less memory for an idle connection.
///
/// The server accepts, limits and authorizes, with all that is set for it, and a takeover ends it as
/// `shutdown` does. Each connection keeps its permit, its timeouts and its [`Caller`](super::Caller), and
/// drains by itself: the backlog is served, idle connections end at once, others after their response, or at
/// the drain timeout. Clients of HTTP/2 are asked for no more requests first (`GOAWAY`). Event streams and
/// upgraded connections end at the drain timeout, as half a header does, and count as aborted.
///
/// The foreign server must not shut down by itself while connections are open: axum's and tonic's graceful
/// shutdown closes those that have not been heard yet. So give it [`ended`](Self::ended) as the signal:
/// without that `axum::serve` never returns.
///
#[cfg_attr(feature = "axum08", doc = "```no_run")]
#[cfg_attr(not(feature = "axum08"), doc = "```ignore")]
/// use axum::{Router, routing::get};
/// use sockeye::http::{Caller, Incoming};
/// use sockeye::{Claim, Listener, Server};
///
/// # async fn example(shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::open(&"/run/app.sock".parse()?, &Claim::options())?;
/// let incoming = Incoming::new(Server::new().max_connections(1000), listener, shutdown);
/// let (ended, report) = (incoming.ended(), incoming.report());
/// let app = Router::new().route("/", get(|caller: Caller| async move { format!("{:?}", caller.uid()) }));
/// axum::serve(incoming, app.into_make_service_with_connect_info::<Caller>())
///     .with_graceful_shutdown(ended)
///     .await?;
/// println!("{}", report.await?);
/// # Ok(())
/// # }
/// ```
///
/// With tonic: `Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, ended)`; the
/// caller is `request.extensions().get::<Caller>()`.
///
/// Dropping it begins the drain, and aborts connections that nobody has accepted from it.
#[must_use = "the server drains when this is dropped"]
pub struct Incoming {
    connections: mpsc::Receiver<IncomingConnection>,
    outcome: watch::Receiver<Option<Outcome>>,
    pub(super) local_addr: io::Result<SocketAddr>,
}

impl Incoming {
    /// Runs `server` in a task until `shutdown` completes, then drains.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers enabled.
    #[track_caller]
    pub fn new(
        server: Server,
        listener: Listener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let local_addr = listener.local_addr();
        let (sender, connections) = mpsc::channel(QUEUE);
        let (tell, outcome) = watch::channel(None);
        tokio::spawn(async move {
            let result = run(server, listener, sender, shutdown).await;
            tell.send_replace(Some(result.map_err(Arc::new)));
        });
        Self {
            connections,
            outcome,
            local_addr,
        }
    }

    /// Completes when the last connection has ended, or was aborted at the drain timeout: the signal for
    /// `with_graceful_shutdown` and `serve_with_incoming_shutdown`.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut outcome = self.outcome.clone();
        async move {
            // An error means that the server has panicked, and so ended.
            let _ = outcome.wait_for(Option::is_some).await;
        }
    }

    /// Completes when the last connection has ended, or was aborted at the drain timeout, with what
    /// [`Server::run`] has returned.
    ///
    /// # Errors
    /// As [`Server::run`].
    ///
    /// # Panics
    /// Where the server has, as with [`Server::propagate_panics`].
    pub fn report(&self) -> impl Future<Output = Result<Report, Arc<ServerError>>> + Send + use<> {
        let mut outcome = self.outcome.clone();
        async move {
            match outcome.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(outcome)) => outcome.clone(),
                _ => panic!("the task of the server has panicked, or its runtime has ended"),
            }
        }
    }

    /// The next connection; `None` when the server has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub async fn next(&mut self) -> Option<IncomingConnection> {
        self.connections.recv().await
    }
}

async fn run(
    server: Server,
    listener: Listener,
    sender: mpsc::Sender<IncomingConnection>,
    shutdown: impl Future<Output = ()>,
) -> Result<Report, ServerError> {
    let head_timeout = server.first_byte().unwrap_or(HEAD_TIMEOUT);
    let handler = |connection: Connection| {
        let sender = sender.clone();
        async move {
            let connection = IncomingConnection::new(connection, head_timeout)?;
            if let Err(mut lost) = sender.send(connection).await {
                lost.0.mark_aborted();
            }
            io::Result::Ok(())
        }
    };
    let shutdown = async {
        tokio::select! {
            () = shutdown => {}
            () = sender.closed() => {}
        }
    };
    server.run(listener, handler, shutdown).await
}

impl FuturesStream for Incoming {
    type Item = io::Result<IncomingConnection>;

    /// There is no error; tonic wants the type.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx).map(|next| next.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.connections.close();
        while let Ok(mut lost) = self.connections.try_recv() {
            lost.mark_aborted();
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
