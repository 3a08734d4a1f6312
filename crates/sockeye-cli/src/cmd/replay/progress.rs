//! [`ReplayProgress`]: the progress bar of a long replay.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A replay that takes longer has a bar.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// On standard error, and only on a terminal: how many events of the recording are over.
#[derive(Clone)]
pub(super) struct ReplayProgress(ProgressBar);

impl ReplayProgress {
    pub(super) fn new(events: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(events as u64), ProgressDrawTarget::hidden());
        let style = "[{bar:30}] {percent}%, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Shows the bar once the replay has taken long enough; dropping the future shows it never.
    pub(super) async fn show(&self) {
        tokio::time::sleep(SHOWN_AFTER).await;
        self.0.set_draw_target(ProgressDrawTarget::stderr());
    }

    pub(super) fn advance(&self, events: usize) {
        if events > 0 {
            self.0.inc(events as u64);
        }
    }

    /// Writes something else meanwhile.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
