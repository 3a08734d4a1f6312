//! [`shutdown_signal`]: SIGTERM and SIGINT, for the binary that wants them.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// SIGTERM and SIGINT; made by [`shutdown_signal`]. As a future it completes at the first of them.
#[derive(Debug)]
#[must_use = "the signals do nothing unless they are awaited"]
pub struct ShutdownSignal {
    terminate: Signals,
    interrupt: Signals,
}

/// Handles SIGTERM and SIGINT (Ctrl-C) from now on, in place of their default action, until the process
/// ends (tokio's [`signal`](tokio::signal::unix::signal)); the library calls it nowhere. Call it before
/// the claim, so that no signal leaves the socket file behind.
///
/// ```no_run
/// use sockeye::server::{Connection, Server, shutdown_signal};
/// use sockeye::{Claim, Listener};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let shutdown = shutdown_signal()?;
/// let listener = Listener::open(&"/run/app.sock".parse()?, &Claim::options())?;
/// Server::new().run(listener, |_: Connection| async {}, shutdown).await?;
/// # Ok(())
/// # }
/// ```
///
/// With a second signal that ends the drain:
///
/// ```no_run
/// # use sockeye::server::{Connection, Server, shutdown_signal};
/// # async fn example(listener: sockeye::Listener) -> Result<(), Box<dyn std::error::Error>> {
/// let mut signals = shutdown_signal()?;
/// let abort = sockeye::CancellationToken::new();
/// let server = Server::new().abort_on(abort.clone());
/// let shutdown = async move {
///     signals.next().await;
///     tokio::spawn(async move {
///         signals.next().await;
///         abort.cancel();
///     });
/// };
/// server.run(listener, |_: Connection| async {}, shutdown).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As sigaction(2) and pipe(2).
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
#[doc(alias = "SIGTERM")]
#[doc(alias = "SIGINT")]
#[doc(alias = "ctrl_c")]
#[track_caller]
pub fn shutdown_signal() -> io::Result<ShutdownSignal> {
    Ok(ShutdownSignal {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

impl ShutdownSignal {
    /// The next of these signals: [`Signal::TERM`] or [`Signal::INT`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no signal.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        if self.terminate.poll_recv(cx).is_ready() {
            return Poll::Ready(Signal::TERM);
        }
        self.interrupt.poll_recv(cx).map(|_| Signal::INT)
    }
}

impl Future for ShutdownSignal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_next(cx).map(|_| ())
    }
}
