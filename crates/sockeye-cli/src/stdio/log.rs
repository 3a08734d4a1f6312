//! Log lines on standard error, and [`LineQuota`], a rate limit for those that clients cause.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::writer::TerminalWriter;
use crate::escape;

/// Starts logging at INFO; with `quiet` errors only, with `verbose` DEBUG and then TRACE.
pub(crate) fn init(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (_, 0) => Level::INFO,
        (_, 1) => Level::DEBUG,
        _ => Level::TRACE,
    };
    let stderr = io::stderr();
    if rustix::termios::isatty(&stderr) {
        let writer = stderr.as_fd().try_clone_to_owned();
        *terminal() = writer.and_then(|fd| TerminalWriter::start(fd, LINES)).ok();
    }
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Stderr)
        // It would panic where standard error is a pipe that nobody reads.
        .log_internal_errors(false)
        .event_format(Plain)
        .init();
}

/// One line for each event, with a prefix for warnings and errors.
struct Plain;

impl<S> FormatEvent<S, DefaultFields> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), event)?;
        let prefix = match *event.metadata().level() {
            Level::ERROR => "sockeye: ",
            Level::WARN => "sockeye: warning: ",
            _ => "",
        };
        writeln!(writer, "{prefix}{}", escape::line(&text))
    }
}

/// Waits until all is written to a terminal; for one that is stopped (Ctrl-S) only a second.
pub(crate) fn finish() {
    if let Some(writer) = terminal().take() {
        writer.finish(Duration::from_secs(1));
    }
}

/// Set where standard error is a terminal.
static TERMINAL: Mutex<Option<TerminalWriter>> = Mutex::new(None);

fn terminal() -> MutexGuard<'static, Option<TerminalWriter>> {
    // Nothing in there can be half done.
    TERMINAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, which loses lines rather than make the server wait for the reader.
struct Stderr;

/// Lines lost since the last one that was written.
static LOST: AtomicU64 = AtomicU64::new(0);
/// What a pipe takes without blocking when poll(2) says that it is writable: one page.
const PIPE_CHUNK: usize = 4096;

/// How many lines may wait for a terminal.
const LINES: usize = 128;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let lost = LOST.swap(0, Ordering::Relaxed);
        let mut text = Vec::new();
        if lost > 0 {
            writeln!(
                text,
                "sockeye: warning: {lost} lines were lost, standard error was full"
            )?;
        }
        text.extend_from_slice(line);
        if text.len() > PIPE_CHUNK {
            text.truncate(PIPE_CHUNK - 4);
            text.extend_from_slice(b"...\n");
        }
        let is_written = match &*terminal() {
            Some(writer) => writer.write_later(text),
            None => write_now(&text)?,
        };
        if !is_written {
            LOST.fetch_add(lost + 1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `false` where a write would block.
fn write_now(text: &[u8]) -> io::Result<bool> {
    let stderr = io::stderr();
    let mut state = [PollFd::new(&stderr, PollFlags::OUT)];
    if retry_on_intr(|| poll(&mut state, Some(&Timespec::default())))? == 0 {
        return Ok(false);
    }
    stderr.lock().write_all(text)?;
    Ok(true)
}

/// A rate limit for lines of one kind, so that clients cannot fill a disk: ten a second, each about one
/// client, then a line that says how many more there were. The library's own lines come once a second
/// with their count in them (`server::log::LogInterval`), and need no line about the others.
pub(crate) struct LineQuota(Mutex<QuotaWindow>);

struct QuotaWindow {
    began: Instant,
    passed: u32,
    withheld: u64,
}

impl LineQuota {
    /// A second.
    const LINES: u32 = 10;

    pub(crate) fn new() -> Self {
        Self(Mutex::new(QuotaWindow {
            began: Instant::now(),
            passed: 0,
            withheld: 0,
        }))
    }

    /// Whether a line may be written now; how many were withheld before it is said first.
    pub(crate) fn pass(&self) -> bool {
        let Some(withheld) = self.count_line() else {
            return false;
        };
        tell_withheld(withheld);
        true
    }

    /// Says how many lines were withheld since the last one that passed.
    pub(crate) fn tell_rest(&self) {
        let window = self.0.lock();
        let withheld = window.map_or(0, |mut window| std::mem::take(&mut window.withheld));
        tell_withheld(withheld);
    }

    /// Counts a line. How many were withheld before it, or `None` where it is withheld too.
    fn count_line(&self) -> Option<u64> {
        let mut window = self.0.lock().ok()?;
        if window.began.elapsed() >= Duration::from_secs(1) {
            (window.began, window.passed) = (Instant::now(), 0);
        }
        if window.passed == Self::LINES {
            window.withheld += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.withheld))
    }
}

fn tell_withheld(withheld: u64) {
    if withheld > 0 {
        warn!("{withheld} more lines of this kind were withheld");
    }
}
