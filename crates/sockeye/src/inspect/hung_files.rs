//! [`HungFiles`]: which files did not answer, and how long others may still take.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::file::absolute;

/// What looking at files has cost so far.
#[derive(Debug, Default)]
pub(super) struct HungFiles {
    /// What did not answer.
    pub(super) unanswered: Vec<PathBuf>,
    /// How much longer file systems that hang may be waited for; `None`: without limit, and in this
    /// process.
    pub(super) left: Option<Duration>,
    /// The inode numbers that were selected at a path.
    pub(super) selected: HashMap<PathBuf, Vec<u32>>,
}

impl HungFiles {
    pub(super) fn within(deadline: Duration) -> Self {
        Self {
            left: Some(deadline),
            ..Self::default()
        }
    }

    /// Adds what has hung since `started`.
    pub(super) fn add(&mut self, unanswered: Vec<PathBuf>, started: Instant) {
        if !unanswered.is_empty() {
            self.left = self.left.map(|left| left.saturating_sub(started.elapsed()));
        }
        for path in unanswered {
            // The same file may have been asked for by a relative path.
            let is_it = |known: &PathBuf| absolute(known) == absolute(&path);
            if !self.unanswered.iter().any(is_it) {
                self.unanswered.push(path);
            }
        }
    }
}
