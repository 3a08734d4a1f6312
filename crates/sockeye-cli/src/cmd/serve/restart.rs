//! SIGHUP: the command anew, which takes over.

use std::ffi::OsString;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long the new process may take until it has taken over.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the command anew at each signal, until one has taken over.
pub(super) async fn on_each(
    mut hangup: Signal,
    is_successor: bool,
    handed_over: CancellationToken,
) {
    while hangup.recv().await.is_some() {
        if std::process::id() == 1 {
            warn!(
                "cannot restart on SIGHUP: this is process 1, whose end ends all others; still serving"
            );
            continue;
        }
        let mut child = match start(is_successor) {
            Ok(child) => child,
            Err(error) => {
                warn!("cannot restart on SIGHUP: {error}; still serving");
                continue;
            }
        };
        let pid = child.id().unwrap_or_default();
        info!("restarting on SIGHUP: started pid {pid}");
        tokio::select! {
            biased;
            () = handed_over.cancelled() => return,
            ended = child.wait() => match ended {
                Ok(status) => warn!("pid {pid} has not taken over ({status}); still serving"),
                Err(error) => warn!("pid {pid} has not taken over ({error}); still serving"),
            },
            () = tokio::time::sleep(PATIENCE) => {
                // It is our own, and has not been waited for; at any step its death is harmless.
                let _ = child.kill().await;
                warn!("pid {pid} has not taken over within {PATIENCE:?} and was killed; still serving");
            }
        }
    }
}

/// The file that has the name by which we were started, so that an upgraded one is found, with our
/// arguments and our descriptors 0, 1 and 2.
fn start(is_successor: bool) -> std::io::Result<Child> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let verb: Option<OsString> = arguments.next();
    let mut command = Command::new(name);
    command.args(verb);
    if !is_successor {
        command.arg("--successor");
    }
    command.args(arguments).spawn()
}

/// Whether whoever started us has SIGHUP ignored (proc_pid_status(5), `SigIgn`).
pub(super) fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}
