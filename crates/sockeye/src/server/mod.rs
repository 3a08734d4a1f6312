//! [`Server`]: accept loop with back-off, connection limits, timeouts, graceful shutdown with a drain.

mod accept;
mod accept_loop;
mod authorization;
mod budget;
mod connection;
mod connection_drain;
mod counters;
mod drain_timer;
mod echo;
mod error;
mod handler_output;
mod handler_panic;
mod handler_scope;
mod handlers;
mod latch;
mod limits;
mod log;
mod messages;
mod records;
mod renewal;
#[cfg(feature = "signal")]
mod shutdown_signal;
mod timeouts;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use connection::{
    Connection, ConnectionPermit, ConnectionReadHalf, ConnectionWriteHalf, DrainHandle,
    OwnedConnectionReadHalf, OwnedConnectionWriteHalf,
};
#[cfg(feature = "http")]
pub(crate) use connection_drain::ConnectionDrain;
pub use counters::Report;
pub use echo::echo;
pub use error::ServerError;
pub use handler_output::HandlerOutput;
#[cfg(feature = "http")]
pub(crate) use latch::LatchWaiter;
pub use limits::LimitError;
pub use messages::{MessageReader, MessageWriter, Messages};
pub use records::{Record, Records};
pub use renewal::Renew;
#[cfg(feature = "signal")]
pub use shutdown_signal::{ShutdownSignal, shutdown_signal};

use crate::listener::{ConnectedSocket, SocketListener};
use crate::peer::{AllowedPeers, Peer};
use crate::takeover::TakeoverError;
use accept::Acceptor;
use accept_loop::AcceptLoop;
use authorization::Authorize;
use counters::Counters;
use drain_timer::DrainTimer;
use handlers::Handlers;
use timeouts::Timeouts;

type OnHandover = dyn Fn(&Peer) + Send + Sync;

/// How long an aborted task may take to be dropped before `run` returns without it.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts connections, runs a handler for each, and drains at shutdown: UNIX streams and seqpacket ones,
/// TCP and vsock ([`NetListener`](crate::listener::NetListener)).
///
/// All unfinished messages and their fds together have a limit
/// ([`max_buffered`](Self::max_buffered)). There is no other limit, and no timeout, unless one is
/// set.
///
/// ```no_run
/// use std::time::Duration;
/// use sockeye::server::{Connection, Server};
/// use sockeye::{Address, Claim, Listener};
/// use tokio::io::AsyncWriteExt;
///
/// # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let address: Address = "/run/app.sock".parse()?;
/// let listener = Listener::open(&address, &Claim::options())?;
/// let hello = |mut connection: Connection| async move {
///     connection.write_all(b"hello\n").await
/// };
/// let report = Server::new()
///     .max_connections(1000)
///     .drain_timeout(Duration::from_secs(5))
///     .run(listener, hello, shutdown)
///     .await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    max_connections: Option<usize>,
    max_per_uid: Option<usize>,
    max_buffered: usize,
    max_buffered_descriptors: Option<usize>,
    allowed: Option<AllowedPeers>,
    authorize: Option<Arc<Authorize>>,
    timeouts: Timeouts,
    message_timeout: Option<Duration>,
    busy_poll: Duration,
    drain_timeout: Duration,
    abort_grace: Duration,
    abort: CancellationToken,
    on_handover: Option<Arc<OnHandover>>,
    renew: Option<Renew>,
    once: bool,
    propagates_panics: bool,
    has_task_per_handler: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server that holds at most 64 MiB of unfinished messages, and drains for ten seconds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: None,
            max_per_uid: None,
            max_buffered: budget::DEFAULT_BYTES,
            max_buffered_descriptors: None,
            allowed: None,
            authorize: None,
            timeouts: Timeouts::default(),
            message_timeout: None,
            busy_poll: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            abort_grace: Duration::ZERO,
            abort: CancellationToken::new(),
            on_handover: None,
            renew: None,
            once: false,
            propagates_panics: false,
            has_task_per_handler: false,
        }
    }

    /// Busy polls each connection for at most `limit` before sleeping; see
    /// [`busy_poll`](crate::busy_poll). While more connections than threads are active, none is.
    #[must_use]
    pub fn busy_poll(mut self, limit: Duration) -> Self {
        self.busy_poll = limit;
        self
    }

    /// How long handlers may go on after shutdown has begun; default ten seconds.
    ///
    /// A server that is told to shut down during a takeover serves until its successor does, for at most
    /// half of this time. The rest is for the drain.
    #[doc(alias = "graceful shutdown timeout")]
    #[must_use]
    pub fn drain_timeout(mut self, time: Duration) -> Self {
        self.drain_timeout = time;
        self
    }

    /// How long handlers may go on after the drain timeout, once [`Connection::abort_token`] is
    /// cancelled; default zero.
    #[must_use]
    pub fn abort_grace(mut self, time: Duration) -> Self {
        self.abort_grace = time;
        self
    }

    /// Cancelling `token` ends a drain at once, as the drain timeout does.
    #[doc(alias = "force shutdown")]
    #[must_use]
    pub fn abort_on(mut self, token: CancellationToken) -> Self {
        self.abort = token;
        self
    }

    /// Calls `tell` with the successor's credentials when it has taken the listener over, or when this
    /// server ends and leaves it to a successor that is ready ([`takeover`]).
    ///
    /// [`takeover`]: crate::takeover
    #[must_use]
    pub fn on_handover(mut self, tell: impl Fn(&Peer) + Send + Sync + 'static) -> Self {
        self.on_handover = Some(Arc::new(tell));
        self
    }

    /// Serves one connection, however long it takes, then shuts down. Once it is accepted, new clients
    /// are refused, and connections in the backlog are closed and counted as refused. A connection
    /// that is closed before a handler sees it, by [`authorize`](Self::authorize) say, is not the one:
    /// the server goes on. An adopted listener is left to its other owners.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Recreates removed files of the address (after a cleaner of temporary directories, say) when
    /// [`Renew::ask`] is called. That is also done before the listener is offered to a successor, but
    /// without its control socket a successor does not find the server.
    #[must_use]
    pub fn renew_files(mut self, renew: Renew) -> Self {
        self.renew = Some(renew);
        self
    }

    /// Accepts until `shutdown` completes, then drains: new clients are refused, what is in
    /// the backlog is accepted and served, [`Connection::shutdown_token`] is cancelled, and what is
    /// still running after the drain timeout is aborted: [`Connection::abort_token`] is cancelled; after
    /// the [`abort_grace`](Self::abort_grace) handlers are dropped, and reads and writes of a connection
    /// that its handler has moved into a task of its own fail with [`LimitError::Aborted`]. If that task
    /// holds it all the same, `run` returns a second after the abort grace.
    ///
    /// Where the claim allows a takeover, a successor ends it too. Then the successor gets new
    /// connections and the backlog, and only accepted connections are drained. The same holds where
    /// `shutdown` completes while a successor is ready but does not serve yet: this server goes on until
    /// the successor serves, or half of the [`drain_timeout`](Self::drain_timeout) is over.
    ///
    /// The listener is closed, and its address released, as soon as the backlog is empty, so that
    /// a successor may start while this server still drains.
    ///
    /// On a multi-threaded runtime each handler is a task. On a current-thread runtime all handlers
    /// are one task, with one [`tokio::task::id`] and one coop budget, unless [`task_per_handler`](Self::task_per_handler) is set.
    ///
    /// An adopted listener that another of its owners shuts down (shutdown(2), `SHUT_RD`) begins a
    /// drain, too.
    ///
    /// A handler returns `()` or a `Result<(), E>` ([`HandlerOutput`]): its error counts as
    /// [`Report::failed`]. A panic of a handler ends its connection only, which counts as aborted.
    ///
    /// Accept errors of single connections are skipped. Where fds or memory run out, accept(2) backs
    /// off until a connection closes, or for 5 ms up to 1 s.
    ///
    /// # Errors
    /// [`ServerError::Accept`] where accepting has become impossible (accept(2): `EBADF`, `EINVAL`,
    /// …), after the drain. [`ServerError::Takeover`] as [`SocketListener::begin`].
    /// [`ServerError::ZeroLimit`] at once.
    ///
    /// # Panics
    /// At its start in a tokio runtime without timers
    /// ([`Builder::enable_time`](tokio::runtime::Builder::enable_time)). With
    /// [`propagate_panics`](Self::propagate_panics), where a handler does.
    ///
    /// # Cancel safety
    /// Dropping the future releases the address; running handlers are not aborted.
    #[doc(alias = "graceful shutdown")]
    #[doc(alias = "backoff")]
    #[doc(alias = "backlog")]
    pub async fn run<S, H, F>(
        self,
        listener: SocketListener<S>,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, ServerError>
    where
        S: ConnectedSocket,
        H: Fn(Connection<S>) -> F,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        self.check_limits()?;
        // It panics in a runtime without timers, which would be noticed in the drain only.
        drop(tokio::time::sleep(Duration::ZERO));
        let counters = Counters::new(&self);
        let run = pin!(self.run_counted(&counters, listener, handler, shutdown));
        let Some(panic) = &counters.panic else {
            return run.await;
        };
        let ended = tokio::select! {
            ended = run => ended,
            first = panic.next() => resume_unwind(first),
        };
        match panic.take() {
            Some(first) => resume_unwind(first),
            None => ended,
        }
    }

    async fn run_counted<S, H, F>(
        &self,
        counters: &Arc<Counters>,
        listener: SocketListener<S>,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, ServerError>
    where
        S: ConnectedSocket,
        H: Fn(Connection<S>) -> F,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let mut shutdown = pin!(shutdown);
        let (listener, is_stopped) = match begin(listener, shutdown.as_mut()).await? {
            Beginning::Serves(listener) => (listener, false),
            Beginning::Ends(listener) => (listener, true),
            Beginning::WithoutPath => return Ok(counters.report()),
        };
        let mut accept_loop = AcceptLoop::new(self, Acceptor::new(self, counters, listener));
        let mut timer = DrainTimer::new(self);
        let mut handle = {
            let (handlers, counters) = (Handlers::new(self), Arc::clone(counters));
            move |connection| handlers.run(&handler, connection, &counters)
        };
        let ended = if is_stopped {
            Ok(None)
        } else {
            let served = accept_loop.serve(&mut timer, shutdown, &mut handle);
            served.await
        };

        timer.begin();
        counters.drain.open();
        let (successor, fatal) = match ended {
            Ok(successor) => (successor, None),
            Err(error) => (None, Some(error)),
        };
        if let (Some(tell), Some(successor)) = (&self.on_handover, &successor) {
            tell(successor);
        }
        if let Err(error) = accept_loop.close() {
            log::cannot_clean_up(&error);
        }
        // A fatal error of accept(2) is reported, and the backlog is skipped; one in the drain is not.
        if fatal.is_some() || accept_loop.drain(&timer, &mut handle).await {
            drop(accept_loop);
            tokio::select! {
                () = counters.all_closed() => {}
                () = timer.expired() => counters.abort_all(self.abort_grace, DROP_TIMEOUT).await,
            }
        } else {
            // In this order: aborted handlers free the fds that counting the backlog needs.
            counters.abort_all(self.abort_grace, DROP_TIMEOUT).await;
            accept_loop.abort_backlog();
        }
        let report = counters.report();
        match fatal {
            None => Ok(report),
            Some(source) => Err(ServerError::Accept { source, report }),
        }
    }
}

/// How a server begins.
enum Beginning<S> {
    Serves(SocketListener<S>),
    /// It is to stop already. The path is its own: the predecessor has gone.
    Ends(SocketListener<S>),
    /// It is to stop already, and the predecessor keeps the path.
    WithoutPath,
}

/// Completes a takeover, unless the server is to stop before.
async fn begin<S: ConnectedSocket>(
    listener: SocketListener<S>,
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Result<Beginning<S>, TakeoverError> {
    if !listener.is_pending() {
        return Ok(Beginning::Serves(listener));
    }
    if poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_ready())).await {
        return Ok(listener
            .if_left()
            .map_or(Beginning::WithoutPath, Beginning::Ends));
    }
    tokio::select! {
        biased;
        () = shutdown => Ok(Beginning::WithoutPath),
        listener = listener.begin() => Ok(Beginning::Serves(listener?)),
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("max_connections", &self.max_connections)
            .field("max_per_uid", &self.max_per_uid)
            .field("max_buffered", &self.max_buffered)
            .field("allowed", &self.allowed)
            .field("timeouts", &self.timeouts)
            .field("message_timeout", &self.message_timeout)
            .field("drain_timeout", &self.drain_timeout)
            .field("abort_grace", &self.abort_grace)
            .finish_non_exhaustive()
    }
}
