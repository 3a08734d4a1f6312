//! The signals that stop a server, or restart it.

use rustix::process::Signal as ReceivedSignal;
use sockeye::server::{ShutdownSignal, shutdown_signal};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cmd::ignored::is_ignored;

/// SIGINT, SIGTERM and, if it does not restart the server, SIGHUP.
pub(super) struct Signals {
    shutdown: ShutdownSignal,
    hangup: Option<Signal>,
}

/// The signals that stop the server, and SIGHUP separately if that restarts it. A SIGHUP that was
/// ignored from the start (nohup(1)) stays ignored.
pub(super) fn signals(restarts: bool) -> std::io::Result<(Signals, Option<Signal>)> {
    if is_ignored(SignalKind::child().as_raw_value()) {
        // While SIGCHLD is ignored the kernel reaps our programs and their exit status is lost. A
        // handler replaces that.
        drop(signal(SignalKind::child())?);
    }
    let hangup = if is_ignored(SignalKind::hangup().as_raw_value()) {
        None
    } else {
        Some(signal(SignalKind::hangup())?)
    };
    let (restart, hangup) = if restarts {
        (hangup, None)
    } else {
        (None, hangup)
    };
    let stop = Signals {
        shutdown: shutdown_signal()?,
        hangup,
    };
    Ok((stop, restart))
}

impl Signals {
    pub(super) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = self.shutdown.next() => match signal {
                ReceivedSignal::INT => "SIGINT",
                _ => "SIGTERM",
            },
            _ = hangup => "SIGHUP",
        }
    }
}
