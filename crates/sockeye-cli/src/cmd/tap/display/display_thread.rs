//! [`DisplayThread`]: starts a display, waits until nobody reads it, and ends it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use rustix::io::Errno;
use sockeye::relay::{ObserverHandle, ObserverThread};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Display;
use super::display_progress::DisplayProgress;
use crate::args::TapArgs;
use crate::output;
use crate::output::tap::TapMissed;
use crate::stdio::reader::reader_gone;

/// How long the end waits for a reader that reads nothing: a pager that is stopped, a terminal after
/// Ctrl-S.
const PATIENCE: Duration = Duration::from_secs(1);

/// A display that runs.
pub(in crate::cmd::tap) struct DisplayThread {
    handle: ObserverHandle,
    thread: ObserverThread<Display>,
    to: OwnedFd,
    progress: Arc<DisplayProgress>,
}

impl DisplayThread {
    /// Starts the display, which may be one of nothing (`--quiet`).
    pub(in crate::cmd::tap) fn start(args: &TapArgs) -> io::Result<Self> {
        let display = Display::new(args)?;
        let (to, progress) = (display.to.try_clone()?, Arc::clone(&display.progress));
        let (handle, thread) = ObserverHandle::start(display)?;
        Ok(Self {
            handle,
            thread,
            to,
            progress,
        })
    }

    /// For relays, or for an observer that hands on to the display. What finds the queue full is missed.
    pub(in crate::cmd::tap) fn handle(&self) -> ObserverHandle {
        self.handle.clone()
    }

    /// Completes when nothing can be shown any more: where nobody reads it, also while nothing is
    /// written, or where a write has failed. Cancel safe.
    pub(in crate::cmd::tap) async fn broken(&self) {
        let gone = async {
            match self.to.try_clone() {
                Ok(to) => reader_gone(to).await,
                Err(error) => Err(error),
            }
        };
        tokio::select! {
            () = self.progress.failed() => return,
            Ok(()) = gone => {}
            // A write finds out.
            else => self.progress.failed().await,
        }
        self.progress.fail(Errno::PIPE.into());
    }

    /// Shows what is queued and the last lines. Every other handle and relay must have been dropped.
    /// Gives up, and says so, where the reader reads nothing for a second, and a second after `abort` is
    /// cancelled.
    ///
    /// # Errors
    /// The first error of a write.
    pub(in crate::cmd::tap) async fn finish(self, abort: &CancellationToken) -> io::Result<()> {
        let missed = self.handle.missed();
        drop(self.handle);
        let missed = TapMissed {
            messages: missed.pieces,
            bytes: missed.bytes,
            fds: missed.fds,
            events: missed.events,
        };
        let messages = missed.messages;
        let (done, mut is_done) = oneshot::channel();
        let (last, thread) = (Builder::new().name("display".to_owned()), self.thread);
        last.spawn(move || {
            if let Ok(mut display) = thread.join() {
                display.finish(missed);
            }
            // Whoever waits may have given up.
            let _ = done.send(());
        })?;
        let aborted = async {
            abort.cancelled().await;
            sleep(PATIENCE).await;
        };
        let is_shown = tokio::select! {
            _ = &mut is_done => true,
            () = stopped(&self.progress) => false,
            () = aborted => false,
        };
        if !is_shown {
            let written = output::bytes(self.progress.written() as usize);
            warn!(
                "the display is incomplete: its reader does not read; what came behind the first {written} is left out, with {messages} messages that found no room before"
            );
        }
        self.progress.take_error().map_or(Ok(()), Err)
    }
}

/// Completes when nothing is written for a second.
async fn stopped(progress: &DisplayProgress) {
    let mut before = progress.written();
    loop {
        sleep(PATIENCE).await;
        let now = progress.written();
        if now == before {
            return;
        }
        before = now;
    }
}
