//! [`Lifecycle`]: graceful shutdown, restart and handover of a server.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Rlimit;
use sockeye::Peer;
use sockeye::server::Renew;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::failures::cannot_start;
use super::notify::Notify;
use super::restart::{Pending, Restart};
use super::signals::{Signals, signals};
use crate::args::ListenOptions;
use crate::output;

/// The signals that stop or restart a server, the tokens that they cancel, and what the service
/// manager is notified of.
pub(crate) struct Lifecycle {
    /// Cancelled when the graceful shutdown begins.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the drain is to end at once, by a second signal.
    pub(crate) abort: CancellationToken,
    /// Asks the server to recreate removed files.
    pub(crate) renew: Renew,
    /// `None` once a task waits for them.
    signals: Option<Signals>,
    /// SIGHUP, if it restarts the server.
    hangup: Option<Signal>,
    notify: Arc<Notify>,
    pending: Arc<Pending>,
    handed_over: CancellationToken,
    drain_timeout: Duration,
    drain_began: Arc<OnceLock<Instant>>,
    tasks: JoinSet<()>,
}

impl Lifecycle {
    /// Installs the signal handlers. To be called before the claim, so that no signal can leave a
    /// file behind.
    pub(crate) fn new(options: &ListenOptions, address: &str) -> anyhow::Result<Self> {
        let (signals, hangup) =
            signals(options.takeover).map_err(|error| cannot_start(address, &error))?;
        Ok(Self {
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            renew: Renew::default(),
            signals: Some(signals),
            hangup,
            notify: Arc::new(Notify::to(None)),
            pending: Arc::default(),
            handed_over: CancellationToken::new(),
            drain_timeout: options.drain,
            drain_began: Arc::default(),
            tasks: JoinSet::new(),
        })
    }

    /// Waits for a signal that stops the server, until [`Self::watch`] does that.
    pub(crate) async fn next_signal(&mut self) -> &'static str {
        match &mut self.signals {
            Some(signals) => signals.next().await,
            None => std::future::pending().await,
        }
    }

    /// From now on the service manager is notified, and its watchdog until this process ends.
    pub(crate) fn connect_manager(&mut self) {
        self.notify = Arc::new(Notify::from_environment());
        tokio::spawn(Arc::clone(&self.notify).keep_alive());
    }

    pub(crate) fn ready(&self, address: &str) {
        self.notify.ready(address);
    }

    pub(crate) fn stopping(&self) {
        self.notify.stopping();
    }

    /// Drains on the first signal, aborts on the second, and restarts on SIGHUP where that was asked
    /// for.
    pub(crate) fn watch(&mut self, options: &ListenOptions, address: &str, limit: &Rlimit) {
        if let Some(signals) = self.signals.take() {
            self.tasks.spawn(self.shut_down(signals));
        }
        if let Some(hangup) = self.hangup.take() {
            let restart = Restart {
                pending: Arc::clone(&self.pending),
                stop: self.stop.clone(),
                soft_limit: limit.current,
                is_successor: options.successor.is_some(),
                address: address.to_owned(),
                notify: Arc::clone(&self.notify),
                handed_over: self.handed_over.clone(),
                renew: self.renew.clone(),
            };
            self.tasks.spawn(restart.on_each(hangup));
        }
    }

    /// Runs `task` until [`Self::end`].
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// What is done on the two signals.
    fn shut_down(&self, mut signals: Signals) -> impl Future<Output = ()> + Send + 'static {
        let (stop, abort) = (self.stop.clone(), self.abort.clone());
        let pending = Arc::clone(&self.pending);
        let notify = Arc::clone(&self.notify);
        let began = Arc::clone(&self.drain_began);
        let drain = output::duration(self.drain_timeout);
        async move {
            tokio::select! {
                name = signals.next() => {
                    pending.stop();
                    stop.cancel();
                    info!("stopping on {name}: no new clients, draining for at most {drain}; a second signal aborts");
                }
                () = stop.cancelled() => {}
            }
            began.get_or_init(Instant::now);
            notify.stopping();
            let name = signals.next().await;
            abort.cancel();
            info!("aborting on a second signal ({name})");
        }
    }

    /// What is done when a successor has taken over the listener.
    pub(crate) fn on_handover(&self) -> impl Fn(&Peer) + Send + Sync + 'static {
        let pending = Arc::clone(&self.pending);
        let notify = Arc::clone(&self.notify);
        let handed_over = self.handed_over.clone();
        let drain = output::duration(self.drain_timeout);
        move |successor| {
            pending.forget();
            handed_over.cancel();
            if let Some(pid) = successor.pid() {
                notify.replaced_by(pid.as_raw_pid().unsigned_abs());
            }
            info!("handed over to {successor}: draining for at most {drain}");
        }
    }

    /// When the drain times out; it begins now at the latest. `None` where that is out of range.
    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        let began = self.drain_began.get_or_init(Instant::now);
        began.checked_add(self.drain_timeout)
    }

    /// Completes when the drain times out, or a second signal aborts.
    pub(crate) async fn drained(&self) {
        self.stop.cancelled().await;
        let timeout = tokio::time::sleep(self.drain_timeout);
        tokio::select! {
            () = timeout => {}
            () = self.abort.cancelled() => {}
        }
    }

    /// Ends the tasks: a signal has no effect any more.
    pub(crate) fn end(&mut self) {
        self.tasks.abort_all();
    }
}
