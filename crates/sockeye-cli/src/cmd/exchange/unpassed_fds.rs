//! [`UnpassedFds`]: received fds that cannot be passed on; they are closed, or saved
//! (`send --save-fd`).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::Signal;
use signal_hook::low_level::{emulate_default_handler, pipe};
use sockeye::Address;
use sockeye::address::quoted;
use sockeye::ancillary::{MAX_DESCRIPTORS, close_in_background};

use super::GRACE;
use super::numbers::{by_reason, ranges};
use crate::cmd::ignored::is_ignored;
use crate::cmd::save_directory::{MadeFile, SaveDirectory};
use crate::exit::Exit;
use crate::stdio;

pub(super) struct UnpassedFds {
    /// Where they came from.
    address: Address,
    directory: Option<SaveDirectory>,
    deadline: Option<Instant>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// Each fd has a number, from 0 in the order in which they came.
#[derive(Default)]
struct Progress {
    came: usize,
    waiting: VecDeque<(usize, OwnedFd)>,
    /// The one that the thread is at.
    current: Option<usize>,
    /// Its file, once that exists.
    unfinished: Option<MadeFile>,
    saved: Vec<usize>,
    /// And why they were not saved.
    closed: Vec<(usize, String)>,
    is_reported: bool,
}

impl UnpassedFds {
    pub(super) fn new(
        address: &Address,
        directory: Option<SaveDirectory>,
        deadline: Option<Instant>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address: address.clone(),
            directory,
            deadline,
            progress: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Takes them. From the first one on, a signal that ends the command reports them first: that is
    /// how an interactive session ends.
    ///
    /// Where as many as come with one message still wait to be saved, it waits until the deadline.
    pub(super) fn take(self: &Arc<Self>, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        if descriptors.is_empty() {
            return Ok(());
        }
        let mut progress = self.lock();
        let is_first = progress.came == 0;
        let first = progress.came;
        progress.came += descriptors.len();
        if self.directory.is_none() {
            drop(progress);
            close_in_background(descriptors);
        } else {
            progress.waiting.extend((first..).zip(descriptors));
            self.changed.notify_all();
            drop(progress);
        }
        if is_first {
            if self.directory.is_some() {
                let saving = Arc::clone(self);
                let thread = std::thread::Builder::new().name("saving".to_owned());
                thread.spawn(move || saving.save_all())?;
            }
            // If no signal handler can be installed, they are reported at the end only.
            let _ = self.report_on_signals();
        }
        let has_room = |progress: &Progress| progress.waiting.len() < MAX_DESCRIPTORS;
        drop(self.wait_until(has_room, self.deadline));
        Ok(())
    }

    fn report_on_signals(self: &Arc<Self>) -> io::Result<()> {
        let signals = [Signal::INT, Signal::TERM].map(Signal::as_raw);
        for signal in signals.into_iter().filter(|&signal| !is_ignored(signal)) {
            let (mut arrival, handler) = UnixStream::pair()?;
            pipe::register(signal, handler)?;
            let received = Arc::clone(self);
            std::thread::Builder::new().spawn(move || {
                if arrival.read_exact(&mut [0]).is_ok() {
                    received.report();
                    let _ = emulate_default_handler(signal);
                }
            })?;
        }
        Ok(())
    }

    /// Waits until all are saved or closed, but not for long after the deadline, and reports them.
    pub(super) fn complete(&self) -> Exit {
        let deadline = self
            .deadline
            .map(|deadline| deadline.max(Instant::now() + GRACE));
        let is_done =
            |progress: &Progress| progress.waiting.is_empty() && progress.current.is_none();
        drop(self.wait_until(is_done, deadline));
        self.report()
    }

    fn wait_until(
        &self,
        is_reached: impl Fn(&Progress) -> bool,
        deadline: Option<Instant>,
    ) -> MutexGuard<'_, Progress> {
        let mut progress = self.lock();
        while !is_reached(&progress) {
            let Some(deadline) = deadline else {
                let woken = self.changed.wait(progress);
                progress = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(progress, left);
            (progress, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        progress
    }

    fn save_all(&self) {
        // A limit of the size (ulimit -f) is an error then, not the end of the command.
        let ignored = Arc::default();
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored);
        loop {
            let has_next = |progress: &Progress| !progress.waiting.is_empty();
            let mut progress = self.wait_until(has_next, None);
            let next = progress.waiting.pop_front();
            let (Some((number, fd)), Some(directory)) = (next, &self.directory) else {
                return;
            };
            progress.current = Some(number);
            self.changed.notify_all();
            drop(progress);
            let saved = self.save(directory, number, &fd);
            close_in_background([fd]);
            let mut progress = self.lock();
            if progress.is_reported {
                return;
            }
            progress.current = None;
            let file = progress.unfinished.take();
            match saved {
                Ok(()) => progress.saved.push(number),
                Err(why) => {
                    if let Some(file) = file {
                        directory.remove(&file);
                    }
                    progress.closed.push((number, why));
                }
            }
            self.changed.notify_all();
        }
    }

    fn save(&self, directory: &SaveDirectory, number: usize, fd: &OwnedFd) -> Result<(), String> {
        let source = directory.source(fd)?;
        let file = {
            let mut progress = self.lock();
            if progress.is_reported {
                return Ok(());
            }
            // While it is locked, so that a report knows of the file.
            let (file, name) = directory.create(number)?;
            progress.unfinished = Some(name);
            file
        };
        directory.copy(&source, file)
    }

    /// Reports them once, in one line. What is not finished by then is removed.
    fn report(&self) -> Exit {
        let mut progress = self.lock();
        if std::mem::replace(&mut progress.is_reported, true) {
            return Exit::Done;
        }
        let (came, was) = match progress.came {
            0 if self.directory.is_none() => return Exit::Done,
            0 => ("no file descriptor".to_owned(), "was"),
            1 => ("1 file descriptor".to_owned(), "was"),
            count => (format!("{count} file descriptors"), "were"),
        };
        let from = self.address.quoted();
        let Some(directory) = &self.directory else {
            stdio::complain(&format!(
                "{came} came from {from} and {was} closed: standard output takes bytes only; save files with sockeye send --save-fd DIR, receive with a program of your own, or relay with sockeye serve --fds ADDRESS -- sockeye connect {}",
                self.address.shell_quoted()
            ));
            return Exit::Incomplete;
        };
        let mut parts = vec![format!("{came} came from {from}")];
        if !progress.saved.is_empty() {
            let path = quoted(&directory.path);
            parts.push(format!("saved in {path}: {}", ranges(&progress.saved)));
        }
        if !progress.closed.is_empty() {
            parts.push(format!("closed: {}", by_reason(&progress.closed)));
        }
        let waiting = progress.waiting.iter().map(|&(number, _)| number);
        let unsaved: Vec<usize> = progress.current.into_iter().chain(waiting).collect();
        if !unsaved.is_empty() {
            parts.push(format!("not saved in time: {}", ranges(&unsaved)));
        }
        stdio::complain(&parts.join("; "));
        if let Some(file) = progress.unfinished.take() {
            directory.remove(&file);
        }
        match (unsaved.is_empty(), progress.closed.is_empty()) {
            (true, true) => Exit::Done,
            (true, false) => Exit::Incomplete,
            (false, _) => Exit::TimedOut,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
