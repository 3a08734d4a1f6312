//! [`BenchReport`]: the results as they come, and a progress bar.

use std::io;
use std::os::fd::AsFd;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::sample::Sample;
use super::socket::BenchTarget;
use crate::escape;
use crate::output::figures::{Conversations, Figures, Ratio, RoundTrips};
use crate::output::{json, page};
use crate::stdio;

pub(super) struct BenchReport {
    json: bool,
    /// On standard error, and only on a terminal.
    bar: ProgressBar,
    figures: Figures,
    /// For standard error.
    remarks: Vec<String>,
}

impl BenchReport {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            bar: ProgressBar::hidden(),
            figures: Figures::default(),
            remarks: Vec::new(),
        }
    }

    /// How many measurements there will be.
    pub(super) fn expect(&mut self, steps: usize) {
        self.bar = ProgressBar::new(steps as u64);
        if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {wide_msg}") {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    /// Which one is next.
    pub(super) fn begin(&self, name: &str) {
        self.bar.set_message(escape::line(name).to_string());
        self.bar.inc(1);
    }

    pub(super) fn round_trips(&mut self, found: RoundTrips) -> anyhow::Result<()> {
        self.tell(&found)?;
        self.figures.round_trips.push(found);
        Ok(())
    }

    pub(super) fn conversations(&mut self, found: Conversations) -> anyhow::Result<()> {
        self.tell(&found)?;
        self.figures.conversations.push(found);
        Ok(())
    }

    /// One side of a comparison.
    pub(super) fn side(&mut self, found: RoundTrips) {
        self.figures.round_trips.push(found);
    }

    pub(super) fn ratio(&mut self, found: Ratio) -> anyhow::Result<()> {
        self.tell(&found)?;
        self.figures.ratio = Some(found);
        Ok(())
    }

    fn tell(&self, found: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            let mut line = Vec::new();
            json::line(&mut line, found)?;
            self.bar.suspend(|| stdio::print(&line))?;
        }
        Ok(())
    }

    /// Adds remarks on requests that were not sent and connections that were closed.
    pub(super) fn remark(&mut self, target: &BenchTarget, sample: &Sample) {
        let name = &target.endpoint;
        let Sample {
            answers,
            unsent,
            closed,
            errors,
            ..
        } = sample;
        let asked = answers + unsent;
        // A few requests that are due in the last moments are always too late.
        if unsent * 100 > asked {
            self.remarks.push(format!(
                "{name} took only {answers} of {asked} requests; the others count with the time that they had waited, take a lower --rate"
            ));
        }
        if !errors.is_empty() {
            let told = errors
                .iter()
                .map(|(status, count)| format!("{count} times {status}"));
            let told = told.collect::<Vec<_>>().join(", ");
            self.remarks.push(format!(
                "{name} answered with a status other than 2xx, which is not in the figures: {told}"
            ));
        }
        if *closed > 0 {
            self.remarks.push(format!(
                "{name} closed {closed} connections after an answer; each was opened again, which is in the times"
            ));
        }
    }

    /// Writes the table, and the remarks to standard error.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        if !self.json {
            let mut text = Vec::new();
            let size = rustix::termios::tcgetwinsize(io::stdout().as_fd());
            // A terminal that does not know its size says 0.
            let width = size.map(|size| usize::from(size.ws_col)).ok();
            self.figures
                .write(&mut text, width.filter(|&width| width > 0))?;
            stdio::print(&text)?;
        }
        for remark in &self.remarks {
            stdio::complain(remark);
        }
        Ok(())
    }

    /// Whether nothing was measured.
    pub(super) fn is_empty(&self) -> bool {
        self.figures.round_trips.is_empty()
    }

    pub(super) fn page(&self) -> String {
        page::of(&self.figures, &about(), &command_line())
    }
}

/// The versions and the machine.
fn about() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let kernel = kernel.map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned());
    let cores = std::thread::available_parallelism();
    let cores = cores.map_or_else(|_| "?".to_owned(), |count| count.to_string());
    let version = env!("CARGO_PKG_VERSION");
    format!("sockeye {version}, Linux {kernel}, {cores} cores")
}

/// The command line, to be repeated.
fn command_line() -> String {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| quoted(&word.to_string_lossy()));
    ["sockeye".to_owned()]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word, quoted for a shell if needed.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@,=%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
