//! [`OtherNamespace`]: a server that has this path in another mount namespace or root directory.

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::stat;
use sockeye::Address;
use sockeye::address::shell_quoted;
use sockeye::inspect::{BoundName, FileState, Socket};

use super::listener::{Listener, Who};
use super::report::{Check, Verdict, WhyReport};
use super::walk_end::WalkedFile;
use crate::cmd::visibility::is_named;
use crate::cmd::visibility::{VisibleSockets, is_reachable, state_of};
use crate::exit::Exit;

/// A living socket whose file has this path in the server's namespace, but not in ours.
pub(super) struct OtherNamespace<'a> {
    socket: &'a Socket,
    who: Who,
    holder: Option<i32>,
}

impl<'a> OtherNamespace<'a> {
    pub(super) fn find(
        address: &Address,
        path: &Path,
        file: Option<WalkedFile>,
        visible: &'a VisibleSockets,
        here: &[&Socket],
    ) -> Option<Self> {
        let socket = visible.sockets().iter().find(|socket| {
            let other_file = socket.file.is_some_and(|bound| {
                file.is_none_or(|file| (file.device, file.inode) != (bound.device, bound.inode))
            });
            is_reachable(socket)
                && state_of(socket) == Some(FileState::Present)
                && socket.file_path.is_none()
                && other_file
                && (is_named(socket, Some(path)) || is_named(socket, address.path()))
                && !here.iter().any(|known| known.inode == socket.inode)
        })?;
        let holders = socket.holders.as_deref().unwrap_or_default();
        Some(Self {
            socket,
            who: Who::of(socket),
            holder: holders.first().map(|holder| holder.process.pid),
        })
    }

    /// Reports it as the socket that was meant; `found` is what the path leads to here.
    pub(super) fn conclude(&self, found: &str, report: &mut WhyReport) {
        let who = &self.who;
        let text = format!(
            "{who} {} a socket at this path {}",
            who.does("has", "have"),
            self.place()
        );
        report.set_listener(Listener::from(self.socket));
        let verdict = match self.outer_path() {
            Some(path) => Verdict::new(
                Exit::NothingThere,
                "root-directory",
                format!("{found}; {text}"),
                format!("give the path as it is from here: {}", shell_quoted(&path)),
            ),
            None => Verdict::new(
                Exit::NothingThere,
                "mount-namespace",
                format!("{found}; {text}"),
                format!(
                    "share the socket's directory (a volume, a bind mount), or run the client \
                     where the server is: nsenter -m -t {}",
                    self.holder
                        .map_or_else(|| "PID".to_owned(), |pid| pid.to_string())
                ),
            ),
        };
        report.no(Check::Namespace, text, verdict);
    }

    /// Mentions it where the path leads to a socket here, too.
    pub(super) fn note(&self, report: &mut WhyReport) {
        let (who, place) = (&self.who, self.place());
        let has = who.does("has", "have");
        let text = format!("{who} {has} another socket at this path {place}");
        report.note(Check::Namespace, text);
    }

    fn place(&self) -> String {
        if self.outer_path().is_some() {
            return "in another root directory (chroot)".to_owned();
        }
        let number = self.holder.and_then(mount_namespace);
        let number = number.map_or_else(String::new, |id| format!(" (mnt:[{id}])"));
        format!("in another mount namespace{number}")
    }

    /// Its path in our mount namespace, if only the root directory differs.
    fn outer_path(&self) -> Option<PathBuf> {
        let pid = self.holder?;
        if mount_namespace(pid)? != mount_namespace("self")? {
            return None;
        }
        let Some(BoundName::Path(name)) = &self.socket.name else {
            return None;
        };
        let mut path = std::fs::read_link(format!("/proc/{pid}/root"))
            .ok()?
            .into_os_string();
        path.push(OsStr::from_bytes(name));
        Some(path.into())
    }
}

fn mount_namespace(process: impl Display) -> Option<u64> {
    stat(format!("/proc/{process}/ns/mnt"))
        .ok()
        .map(|found| found.st_ino)
}
