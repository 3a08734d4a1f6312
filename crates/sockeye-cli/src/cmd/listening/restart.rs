//! [`Restart`]: on SIGHUP the same command is started, and takes over.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use sockeye::server::Renew;
use tokio::process::{Child, Command};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::notify::Notify;

/// How long the new process may take until it has taken over: longer than it waits itself, so that
/// it can say why.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long it may take to end after SIGKILL: a process can hang in the kernel.
const END: Duration = Duration::from_secs(2);

/// How long the server may take to check and renew its files: it may be busy, or have made an offer
/// to a successor.
const RENEWAL: Duration = Duration::from_secs(10);

/// The process that is to take over, until it has or has ended. A server that is to stop terminates it
/// first: it would find no predecessor, claim the path and serve on.
#[derive(Default)]
pub(super) struct Pending(Mutex<Option<OwnedFd>>);

impl Pending {
    /// Terminates it. It may have taken over already, before we know of that, and then drains.
    pub(super) fn stop(&self) {
        if let Some(pidfd) = &*self.process() {
            let _ = pidfd_send_signal(pidfd, rustix::process::Signal::TERM);
        }
    }

    /// It has taken over.
    pub(super) fn forget(&self) {
        self.set(None);
    }

    fn set(&self, process: Option<OwnedFd>) {
        *self.process() = process;
    }

    fn process(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // Nothing in there can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Restart {
    pub(super) pending: Arc<Pending>,
    pub(super) stop: CancellationToken,
    /// The limit of descriptors that we were started with.
    pub(super) soft_limit: Option<u64>,
    /// Whether this process was itself started by a restart.
    pub(super) is_successor: bool,
    pub(super) address: String,
    pub(super) notify: Arc<Notify>,
    pub(super) handed_over: CancellationToken,
    /// Asks the server to recreate removed files.
    pub(super) renew: Renew,
}

impl Restart {
    /// Restarts on each signal, until a successor has taken over.
    pub(super) async fn on_each(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() && !self.stop.is_cancelled() {
            self.notify.reloading();
            let Err(why) = self.restart().await else {
                return;
            };
            if self.stop.is_cancelled() {
                return;
            }
            warn!("{why}; still serving");
            self.notify.ready(&self.address);
        }
    }

    async fn restart(&self) -> Result<(), String> {
        if std::process::id() == 1 {
            return Err(
                "cannot restart on SIGHUP: this is process 1, whose end ends all others".to_owned(),
            );
        }
        // Without our files the successor would find no predecessor and claim the path beside us; with
        // the files of another server it would take over from that one.
        match tokio::time::timeout(RENEWAL, self.renew.ask()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("cannot restart on SIGHUP: {error}")),
            Err(_) => {
                return Err(format!(
                    "cannot restart on SIGHUP: files of {} were removed and are not recreated",
                    self.address
                ));
            }
        }
        let started = self.start();
        let mut child = started.map_err(|error| format!("cannot restart on SIGHUP: {error}"))?;
        let pid = child.id().unwrap_or_default();
        let process = Pid::from_raw(pid.cast_signed());
        let process = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self.pending.set(process);
        info!("restarting on SIGHUP: started pid {pid}");
        let outcome = tokio::select! {
            biased;
            () = self.handed_over.cancelled() => Ok(()),
            ended = child.wait() => Err(match ended {
                Ok(status) => format!("pid {pid} has not taken over ({status})"),
                Err(error) => format!("pid {pid} has not taken over ({error})"),
            }),
            () = tokio::time::sleep(PATIENCE) => {
                // The pid is still its own, since it is not reaped; its death is harmless at any step.
                let _ = child.start_kill();
                let _ = tokio::time::timeout(END, child.wait()).await;
                Err(format!("pid {pid} has not taken over within {PATIENCE:?} and was killed"))
            }
        };
        self.pending.set(None);
        outcome
    }

    /// Starts the file by the name that this process was started by, so that an upgraded one is found,
    /// with our arguments and our fds 0, 1 and 2.
    fn start(&self) -> std::io::Result<Child> {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let subcommand: Option<OsString> = arguments.next();
        let mut command = Command::new(name);
        command.args(subcommand);
        if !self.is_successor {
            let limit = self.soft_limit.unwrap_or(u64::MAX);
            command.arg(format!("--successor={limit}"));
        }
        // These are bound to our pid. NOTIFY_SOCKET and WATCHDOG_USEC hold for the successor too.
        for variable in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_PIDFDID"] {
            command.env_remove(variable);
        }
        command.args(arguments).spawn()
    }
}
