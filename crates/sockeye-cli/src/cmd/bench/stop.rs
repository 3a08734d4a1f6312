//! A wish to stop: a flag that every loop looks at, so that destructors run and neither a server
//! nor a directory of ours is left behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, failure};

#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for signals on a thread of its own, to the end of the process.
    pub(super) fn on_signals() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let inside = runtime.enter();
        let signals: Vec<Signal> = kinds.into_iter().map(signal).collect::<io::Result<_>>()?;
        drop(inside);
        for mut signal in signals {
            let flag = Arc::clone(&flag);
            runtime.spawn(async move {
                signal.recv().await;
                flag.store(true, Ordering::Relaxed);
            });
        }
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Ok(Self(flag))
    }

    /// An error once a stop is asked for.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(failure(
                Exit::Failed,
                "the bench was stopped by a signal; nothing of it is left",
            )),
        }
    }
}
