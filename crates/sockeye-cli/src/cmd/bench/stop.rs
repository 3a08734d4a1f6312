//! A wish to stop: a flag that every loop looks at, so that destructors run and neither a server
//! nor a directory of ours is left behind.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::by_signal;

/// The first signal that asked for it.
#[derive(Clone)]
pub(super) struct Stop(Arc<OnceLock<Signal>>);

impl Stop {
    /// Listens for signals on a thread of its own, to the end of the process.
    pub(super) fn on_signals() -> io::Result<Self> {
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
        Ok(Self(first))
    }

    /// An error once a stop is asked for: the end by that signal.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(signal) => Err(by_signal(*signal)),
        }
    }
}
