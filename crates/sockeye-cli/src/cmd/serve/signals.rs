//! The signals that end a server, or restart it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end it.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

/// The signals that stop the server, and apart from them SIGHUP if that restarts it. Ignored from
/// the start (nohup(1)), it stays so.
pub(super) fn signals(restarts: bool) -> std::io::Result<(Signals, Option<Signal>)> {
    if is_ignored(SignalKind::child()) {
        // The kernel would reap our programs, and nobody be told how they have ended. A handler takes
        // the place of that.
        drop(signal(SignalKind::child())?);
    }
    let hangup = match is_ignored(SignalKind::hangup()) {
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

/// Whether whoever started us has a signal ignored (proc_pid_status(5), `SigIgn`).
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 != 0)
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
