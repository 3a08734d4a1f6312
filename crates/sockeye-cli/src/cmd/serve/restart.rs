//! SIGHUP: the command anew, which takes over.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use sockeye::Address;
use sockeye::server::Renew;
use tokio::process::{Child, Command};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::notify::Notify;

/// How long the new process may take until it has taken over: longer than it waits itself, so that
/// it can say why.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long its end may take then: a process can hang in the kernel.
const END: Duration = Duration::from_secs(2);

/// How long the server may take to look after its files: it may have a lot to do, or a successor that
/// has an offer.
const RENEWAL: Duration = Duration::from_secs(10);

/// The process that is to take over, until it has or has ended. A server that is told to stop stops
/// it first: it would find nobody, and serve on.
#[derive(Default)]
pub(super) struct Pending(Mutex<Option<OwnedFd>>);

impl Pending {
    /// Stops it. It may have taken over already, without our having heard of that, and then drains.
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
    /// Whether we were started like this ourselves.
    pub(super) is_successor: bool,
    pub(super) address: Address,
    pub(super) notify: Arc<Notify>,
    pub(super) handed_over: CancellationToken,
    /// Has the server make its files anew, where one was removed.
    pub(super) renew: Renew,
}

impl Restart {
    /// Starts the command anew at each signal, until one has taken over.
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
        // Without its files the new process would find nobody and claim the path beside us, and with
        // those of somebody else it would take over from them.
        match tokio::time::timeout(RENEWAL, self.renew.ask()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("cannot restart on SIGHUP: {error}")),
            Err(_) => {
                return Err(format!(
                    "cannot restart on SIGHUP: files of {} were removed and are not made anew",
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
                // It is our own, and has not been waited for; at any step its death is harmless.
                let _ = child.start_kill();
                let _ = tokio::time::timeout(END, child.wait()).await;
                Err(format!("pid {pid} has not taken over within {PATIENCE:?} and was killed"))
            }
        };
        self.pending.set(None);
        outcome
    }

    /// The file that has the name by which we were started, so that an upgraded one is found, with
    /// our arguments and our descriptors 0, 1 and 2.
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
        // They are meant for our pid. NOTIFY_SOCKET and WATCHDOG_USEC are for it, too.
        for variable in ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_PIDFDID"] {
            command.env_remove(variable);
        }
        command.args(arguments).spawn()
    }
}
