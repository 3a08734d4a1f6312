//! [`Display`]: shows what a tap observes, on the thread of its observer.
//!
//! A slow reader of it slows nothing else: the queue in front of it loses what it has no room for, and
//! counts it.

mod display_progress;
mod display_thread;

use std::collections::HashMap;
use std::env;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

pub(super) use display_thread::DisplayThread;
use jiff::tz::TimeZone;
use sockeye::Pid;
use sockeye::relay::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece, Observer};

use display_progress::DisplayProgress;

use crate::args::{ColorWhen, DisplayMode, RecordTarget, TapArgs};
use crate::lookup::ids::name_of;
use crate::output::tap::{TapClient, TapDisplay, TapMissed, TapStyle};
use crate::stdio;

/// So much is written at once, if no flush comes before.
const BUFFER: usize = 64 << 10;
/// So much is one write: a reader that is slow is seen to read.
const PART: usize = 16 << 10;
/// Names of users that are remembered.
const MOST_USERS: usize = 1024;

/// Shows what a tap observes.
pub(super) struct Display {
    /// `None` where nothing is to be shown.
    lines: Option<TapDisplay>,
    users: HashMap<u32, Option<String>>,
    to: OwnedFd,
    progress: Arc<DisplayProgress>,
}

impl Display {
    fn new(args: &TapArgs) -> io::Result<Self> {
        let to = match args.record {
            Some(RecordTarget::Stdout) => io::stderr().as_fd().try_clone_to_owned()?,
            _ => io::stdout().as_fd().try_clone_to_owned()?,
        };
        let style = TapStyle {
            zone: TimeZone::system(),
            is_colored: is_colored(args.color, &to),
        };
        let lines = args.display().map(|mode| match mode {
            DisplayMode::Text(most) => TapDisplay::text(style, most),
            DisplayMode::Hex(most) => TapDisplay::hex(style, most),
            DisplayMode::Json(most) => TapDisplay::json(most),
            DisplayMode::Http => TapDisplay::http(style),
            DisplayMode::Summary => TapDisplay::summary(style),
        });
        Ok(Self {
            lines,
            users: HashMap::new(),
            to,
            progress: Arc::default(),
        })
    }

    /// The last lines.
    fn finish(&mut self, missed: TapMissed) {
        if let Some(lines) = &mut self.lines {
            lines.finish(missed);
            self.write();
        }
    }

    /// Lets the display take something in. After an error nothing more is shown.
    fn show(&mut self, show: impl FnOnce(&mut TapDisplay)) {
        if let Some(lines) = &mut self.lines {
            show(lines);
            if lines.lines().len() >= BUFFER {
                self.write();
            }
        }
    }

    fn write(&mut self) {
        let Some(lines) = &mut self.lines else { return };
        for part in lines.lines().chunks(PART) {
            if let Err(error) = stdio::write_all(&self.to, part) {
                self.progress.fail(error);
                break;
            }
            self.progress.add(part.len());
        }
        lines.lines().clear();
        if self.progress.has_failed() {
            self.lines = None;
        }
    }

    fn client(&mut self, begin: &ObservedBegin) -> TapClient {
        let uid = begin.client.and_then(|client| client.uid());
        TapClient {
            pid: begin
                .client
                .and_then(|client| client.pid())
                .map(Pid::as_raw_pid),
            command: begin.command.clone(),
            uid,
            user: uid.and_then(|uid| self.user(uid)),
        }
    }

    /// A look-up may take long: the database of users may be on another machine.
    fn user(&mut self, uid: u32) -> Option<String> {
        if self.users.len() == MOST_USERS && !self.users.contains_key(&uid) {
            self.users.clear();
        }
        self.users
            .entry(uid)
            .or_insert_with(|| name_of(uid))
            .clone()
    }
}

impl Observer for Display {
    fn begin(&mut self, begin: ObservedBegin) {
        let client = self.client(&begin);
        self.show(|lines| lines.begin(&begin, client));
    }

    fn piece(&mut self, piece: ObservedPiece) {
        self.show(|lines| lines.message(&piece));
    }

    fn end(&mut self, end: ObservedEnd) {
        self.show(|lines| lines.end(&end));
    }

    fn missed(&mut self, gap: ObservedGap) {
        self.show(|lines| lines.missed(&gap));
    }

    fn flush(&mut self) {
        self.write();
    }
}

/// See <https://no-color.org>.
fn is_colored(when: ColorWhen, to: &OwnedFd) -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
            rustix::termios::isatty(to) && !is_dumb && !is_set("NO_COLOR")
        }
    }
}
