//! [`ReplayProgress`]: the progress bar of a long replay.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sockeye::capture::RecordedPart;

use super::player::Player;

/// A replay that takes longer has a bar.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

const REDRAWN_EVERY: Duration = Duration::from_millis(100);

/// On standard error, and only on a terminal: how much of the time is over, or of the bytes where they
/// are played as fast as answers come.
#[derive(Clone)]
pub(super) struct ReplayProgress {
    bar: ProgressBar,
    player: Arc<Player>,
    /// When the recording ends.
    last: Duration,
}

impl ReplayProgress {
    /// Of the connections of these numbers.
    pub(super) fn new(player: &Arc<Player>, numbers: &[usize]) -> Self {
        let connections = player.recording.connections();
        let events = numbers
            .iter()
            .flat_map(|&number| connections[number].events());
        let (mut last, mut bytes) = (Duration::ZERO, 0);
        for event in events {
            last = last.max(event.time);
            if let RecordedPart::Bytes(location) | RecordedPart::Record(location) = &event.what {
                bytes += location.len() as u64;
            }
        }
        let total = match player.pace.progress(last) {
            Some((_, total)) => total.as_millis() as u64,
            None => bytes,
        };
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = "[{bar:30}] {percent}%, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        let player = Arc::clone(player);
        Self { bar, player, last }
    }

    /// Shows it, once the replay has taken long enough. It never completes.
    pub(super) async fn show(&self) {
        tokio::time::sleep(SHOWN_AFTER).await;
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        loop {
            let player = &self.player;
            self.bar
                .set_position(match player.pace.progress(self.last) {
                    Some((elapsed, total)) => elapsed.min(total).as_millis() as u64,
                    None => {
                        let counts = [&player.sent, &player.received];
                        counts
                            .map(|count| count.load(Ordering::Relaxed))
                            .iter()
                            .sum()
                    }
                });
            tokio::time::sleep(REDRAWN_EVERY).await;
        }
    }

    /// Writes something else meanwhile.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
