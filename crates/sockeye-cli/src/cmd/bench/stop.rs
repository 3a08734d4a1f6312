//! [`StopSignal`]: every loop checks it, so that destructors run and neither a server nor a directory of
//! ours is left behind.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::by_signal;

/// The first signal that asked to stop.
#[derive(Clone)]
pub(super) struct StopSignal(Arc<OnceLock<Signal>>);

impl StopSignal {
    /// Waits for signals, and for the end of the reader of standard output, on threads of its own, until
    /// the process ends.
    pub(super) fn watch() -> io::Result<Self> {
        let first = Arc::new(OnceLock::new());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let kinds = [
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::hangup(), Signal::HUP),
        ];
        let inside = runtime.enter();
        for (kind, number) in kinds {
            let mut signal = signal(kind)?;
            let first = Arc::clone(&first);
            runtime.spawn(async move {
                signal.recv().await;
                first.get_or_init(|| number);
            });
        }
        drop(inside);
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let stop = Self(first);
        let first = Arc::clone(&stop.0);
        std::thread::Builder::new().spawn(move || {
            let stdout = io::stdout();
            // poll(2) reports POLLERR and POLLHUP without being asked.
            let mut state = [PollFd::new(&stdout, PollFlags::empty())];
            while poll(&mut state, None).is_err_and(|errno| errno == Errno::INTR) {}
            if !state[0].revents().is_empty() {
                first.get_or_init(|| Signal::PIPE);
            }
        })?;
        Ok(stop)
    }

    /// An error once a signal has come: the command ends by that signal.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(signal) => Err(by_signal(*signal)),
        }
    }
}
