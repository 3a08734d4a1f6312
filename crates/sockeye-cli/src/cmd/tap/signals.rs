//! [`TapSignals`]: SIGINT, SIGTERM and SIGHUP end a tap; a second one aborts its drain.

use sockeye::server::shutdown_signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cmd::ignored::is_ignored;

pub(super) struct TapSignals {
    /// Cancelled by the first signal.
    pub(super) stop: CancellationToken,
    /// Cancelled by the second one.
    pub(super) abort: CancellationToken,
}

impl TapSignals {
    /// To be called before the path is displaced.
    pub(super) fn install() -> std::io::Result<Self> {
        let mut shutdown = shutdown_signal()?;
        // The terminal is closed. One that was ignored from the start (nohup(1)) stays ignored.
        let is_taken = !is_ignored(SignalKind::hangup().as_raw_value());
        let mut hangup = is_taken.then(|| signal(SignalKind::hangup())).transpose()?;
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let (stopping, aborting) = (stop.clone(), abort.clone());
        tokio::spawn(async move {
            loop {
                let hung_up = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = shutdown.next() => {}
                    _ = hung_up => {}
                }
                if stopping.is_cancelled() {
                    info!("aborting on a second signal");
                    aborting.cancel();
                }
                stopping.cancel();
            }
        });
        Ok(Self { stop, abort })
    }
}
