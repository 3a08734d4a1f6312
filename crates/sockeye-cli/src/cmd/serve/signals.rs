//! The signals that end a server, or restart it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cmd::ignored::is_ignored;

/// The signals that end it.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

/// The signals that stop the server, and apart from them SIGHUP if that restarts it. Ignored from
/// the start (nohup(1)), it stays so.
pub(super) fn signals(restarts: bool) -> std::io::Result<(Signals, Option<Signal>)> {
    if is_ignored(SignalKind::child().as_raw_value()) {
        // The kernel would reap our programs, and nobody be told how they have ended. A handler takes
        // the place of that.
        drop(signal(SignalKind::child())?);
    }
    let hangup = match is_ignored(SignalKind::hangup().as_raw_value()) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let (restart, hangup) = match restarts {
        true => (hangup, None),
        false => (None, hangup),
    };
    let stop = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
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
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}
