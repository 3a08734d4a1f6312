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
use crate::cmd::visibility::{VisibleSockets, is_named, is_reachable, path_in_root, state_of};
use crate::exit::Exit;

/// An open socket whose file has this path in the server's namespace, but not in ours.
pub(super) struct OtherNamespace<'a> {
    socket: &'a Socket,
    who: Who,
    holder: Option<i32>,
    /// The process whose path it is, if that is not this one (`--pid`).
    client: Option<i32>,
}

impl<'a> OtherNamespace<'a> {
    pub(super) fn find(
        address: &Address,
        path: &Path,
        file: Option<WalkedFile>,
        visible: &'a VisibleSockets,
        here: &[&Socket],
    ) -> Option<Self> {
        let (client, inside) = path_in_root(path).unzip();
        let paths = [Some(path), address.path(), inside.as_deref()];
        let socket = visible.sockets().iter().find(|socket| {
            let other_file = socket.file.is_some_and(|bound| {
                file.is_none_or(|file| (file.device, file.inode) != (bound.device, bound.inode))
            });
            is_reachable(socket)
                && state_of(socket) == Some(FileState::Present)
                && socket.file_path.is_none()
                && other_file
                && paths.iter().any(|path| is_named(socket, *path))
                && !here.iter().any(|known| known.inode == socket.inode)
        })?;
        let holders = socket.holders.as_deref().unwrap_or_default();
        Some(Self {
            socket,
            who: Who::of(socket),
            holder: holders.first().map(|holder| holder.process.pid),
            client,
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
        let verdict = match (self.shares_mounts(), self.outer_path()) {
            (false, _) => self.other_mounts(found, &text),
            (true, Some(path)) => Verdict::new(
                Exit::NothingThere,
                "root-directory",
                format!("{found}; {text}"),
                format!("give the path as it is from here: {}", shell_quoted(&path)),
            ),
            (true, None) => Verdict::new(
                Exit::NothingThere,
                "root-directory",
                format!("{found}; {text}"),
                "share the socket's directory with that root directory (a bind mount)",
            ),
        };
        report.no(Check::Namespace, text, verdict);
    }

    fn other_mounts(&self, found: &str, text: &str) -> Verdict {
        let pid = self.holder.map(|pid| pid.to_string());
        Verdict::new(
            Exit::NothingThere,
            "mount-namespace",
            format!("{found}; {text}"),
            format!(
                "share the socket's directory (a volume, a bind mount), or run the client where the \
                 server is: nsenter -m -t {}",
                pid.as_deref().unwrap_or("PID")
            ),
        )
    }

    /// Mentions it where the path leads to a socket here, too.
    pub(super) fn note(&self, report: &mut WhyReport) {
        let (who, place) = (&self.who, self.place());
        let has = who.does("has", "have");
        let text = format!("{who} {has} another socket at this path {place}");
        report.note(Check::Namespace, text);
    }

    fn place(&self) -> String {
        if self.shares_mounts() {
            return "in another root directory (chroot)".to_owned();
        }
        let number = self.holder.and_then(mount_namespace);
        let number = number.map_or_else(String::new, |id| format!(" (mnt:[{id}])"));
        format!("in another mount namespace{number}")
    }

    /// Whether only the root directories of the server and the client differ.
    fn shares_mounts(&self) -> bool {
        let client = match self.client {
            Some(pid) => mount_namespace(pid),
            None => mount_namespace("self"),
        };
        let server = self.holder.and_then(mount_namespace);
        server.is_some() && server == client
    }

    /// Its path from here, if only the root directory differs.
    fn outer_path(&self) -> Option<PathBuf> {
        let pid = self.holder.filter(|_| self.client.is_none())?;
        if !self.shares_mounts() {
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
