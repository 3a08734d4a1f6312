//! [`DisplacedServer`]: the server behind a tap, whose socket file has another name meanwhile.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, lstat};
use sockeye::address::shell_quoted;
use sockeye::claim::{Probe, displaced_path, probe_all_within};
use sockeye::inspect::{BoundName, Socket};
use sockeye::{Address, Name};

use super::listener::{Listener, Standing, Who, standing};
use super::report::{Check, Status, Verdict, WhyReport, shown};
use crate::cmd::visibility::{VisibleSockets, is_reachable};
use crate::exit::Exit;

/// A socket file that a tap has displaced.
pub(super) struct DisplacedServer<'a> {
    address: &'a Address,
    /// The path that the server has bound.
    path: &'a Path,
    /// The name that its file has now.
    now: PathBuf,
    /// The sockets that are bound to it.
    sockets: Vec<&'a Socket>,
    /// The open socket at the path, if that is the tap's.
    tap: Option<&'a Socket>,
    visible: &'a VisibleSockets,
}

impl<'a> DisplacedServer<'a> {
    /// What a tap has displaced from this path, on which `here` are. `None` without a tap.
    pub(super) fn find(
        address: &'a Address,
        path: &'a Path,
        here: &[&'a Socket],
        visible: &'a VisibleSockets,
    ) -> Option<Self> {
        let now = displaced_path(path);
        let found = lstat(&now).ok()?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return None;
        }
        let name = Name::Path(now.clone());
        let at_it = Address::new(address.kind(), &name).ok()?;
        let all = visible.snapshot.as_ref().map(|all| all.select(&at_it));
        // The tap has bound this name, and is or was there before it stands in front.
        let is_taps = |socket: &&Socket| base(socket) == now.file_name();
        let mut sockets = all.unwrap_or_default();
        sockets.retain(|socket| !is_taps(socket));
        let mut reachable = here.iter().copied().filter(|socket| is_reachable(socket));
        Some(Self {
            address,
            path,
            sockets,
            tap: reachable.find(is_taps),
            now,
            visible,
        })
    }

    /// Whether that socket is the server's.
    pub(super) fn has(&self, socket: &Socket) -> bool {
        let mut inodes = self.sockets.iter().map(|socket| socket.inode);
        inodes.any(|inode| inode == socket.inode)
    }

    /// What a tap that stands in front finds behind it; `None` where none does.
    pub(super) fn behind(&self, report: &mut WhyReport) -> Option<Standing<'a>> {
        let tap = Who::of(self.tap?);
        let now = shown(&self.now);
        report.note(
            Check::Listener,
            format!(
                "{tap} is a tap, and the socket file of the server behind it is {now} meanwhile"
            ),
        );
        let found = standing(self.address.kind(), &self.sockets);
        if found != Standing::Nobody {
            return Some(found);
        }
        match self.probe(&self.now) {
            Some(Probe::Live { .. }) => report.step(
                Check::Listener,
                Status::Unknown,
                "an open socket that is not visible is bound to that file",
            ),
            Some(Probe::Stale | Probe::Absent) => {
                let text = format!("nobody listens on {now}: the server behind the tap is gone");
                let verdict = Verdict::new(
                    Exit::NothingThere,
                    "tapped-server-gone",
                    &text,
                    "start the server; end the tap if the path is still in use then",
                );
                report.no(Check::Listener, text, verdict);
            }
            _ => {}
        }
        None
    }

    /// Concludes, where the file at the path is that of a tap that was killed, and the server behind it
    /// still runs.
    pub(super) fn is_left(&self, report: &mut WhyReport) -> bool {
        let text = "nobody listens on the socket file";
        if self.probe(self.path) != Some(Probe::Stale) || !self.is_alive() {
            return false;
        }
        report.step(Check::Listener, Status::No, text);
        self.conclude(text, report);
        true
    }

    /// As [`Self::is_left`], where no file is at the path, which `found` says.
    pub(super) fn is_left_alone(&self, found: &str, report: &mut WhyReport) -> bool {
        let is_alive = self.is_alive();
        if is_alive {
            self.conclude(found, report);
        }
        is_alive
    }

    fn conclude(&self, found: &str, report: &mut WhyReport) {
        let who = match standing(self.address.kind(), &self.sockets) {
            Standing::Open(socket) | Standing::Full(socket) | Standing::NotListening(socket) => {
                report.set_listener(Listener::from(socket));
                Who::of(socket).to_string()
            }
            _ => "a server that is not visible".to_owned(),
        };
        let text = format!(
            "a tap was killed in front of {who}, whose socket file is still {}",
            shown(&self.now)
        );
        let verdict = Verdict::new(
            Exit::NothingThere,
            "tap-killed",
            format!("{found}: {text}"),
            format!(
                "put it back: sockeye tap --restore {}",
                shell_quoted(self.path)
            ),
        );
        report.step(Check::Listener, Status::Note, text);
        report.conclude(verdict);
    }

    /// Whether an open socket is bound to the displaced file.
    fn is_alive(&self) -> bool {
        let is_visible = self.sockets.iter().any(|socket| is_reachable(socket));
        is_visible || matches!(self.probe(&self.now), Some(Probe::Live { .. }))
    }

    fn probe(&self, path: &Path) -> Option<Probe> {
        let address = Address::from_path(path).ok()?;
        probe_all_within(self.visible.patience(), [&address]).pop()
    }
}

/// The last part of the name that a socket was bound to.
fn base(socket: &Socket) -> Option<&OsStr> {
    match socket.name.as_ref()? {
        BoundName::Path(name) => Path::new(OsStr::from_bytes(name)).file_name(),
        BoundName::Abstract(_) => None,
    }
}
