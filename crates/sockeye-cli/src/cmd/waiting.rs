//! Connecting with a wait that can be cancelled.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use sockeye::connect::ConnectErrorKind;
use sockeye::{ConnectError, Connector};

/// How soon a cancellation is noticed.
const TICK: Duration = Duration::from_millis(50);

/// Connects with `attempt`, and waits for a server on a thread of its own, so that `go_on` can end
/// the waiting with its error. A server that is there at once is connected to in any case.
pub(super) fn connect<T: Send + 'static>(
    connector: Connector,
    attempt: impl Fn(&Connector) -> anyhow::Result<T> + Send + 'static,
    go_on: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let at_once = connector
        .clone()
        .connect_timeout(Duration::ZERO)
        .wait_for(Duration::ZERO);
    match attempt(&at_once) {
        Err(error) if may_pass(&error) => {}
        other => return other,
    }
    let (result, found) = sync_channel(1);
    std::thread::Builder::new().spawn(move || {
        // Where nobody waits for it any more the process ends.
        let _ = result.send(attempt(&connector));
    })?;
    loop {
        match found.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => go_on()?,
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("a thread panicked"),
        }
    }
}

/// Whether time could change it.
fn may_pass(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(ConnectError::kind);
    matches!(
        kind,
        Some(
            ConnectErrorKind::BacklogFull
                | ConnectErrorKind::Absent
                | ConnectErrorKind::DanglingLink(_)
                | ConnectErrorKind::ParentMissing(_)
                | ConnectErrorKind::Stale
                | ConnectErrorKind::Displaced { .. }
                | ConnectErrorKind::Unclear(_)
                | ConnectErrorKind::NobodyListens
                | ConnectErrorKind::NotListening { .. }
        )
    )
}
