//! What of an answer is not known, and the word that says so.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;

use rustix::process::geteuid;
use sockeye::inspect::{Connection, Hidden, Snapshot, Socket};

use super::{Answer, selection};
use crate::args::{Column, Ls, Netns, Target};
use crate::exit::Exit;
use crate::output::socket::OtherEnd;

/// Looks for what is missing in what is shown.
pub(super) struct Gaps<'a> {
    args: &'a Ls,
    snapshot: &'a Snapshot,
    /// Whether processes, and other ends, are shown at all.
    shows_holders: bool,
    shows_peer: bool,
    found: bool,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(args: &'a Ls, snapshot: &'a Snapshot) -> Self {
        let shows = |wanted: &[Column]| {
            args.columns.is_empty() || args.columns.iter().any(|column| wanted.contains(column))
        };
        Self {
            args,
            snapshot,
            shows_holders: shows(&[Column::Process, Column::Fd]),
            shows_peer: shows(&[Column::Peer, Column::PeerInode]),
            found: snapshot.hidden().tables > 0,
        }
    }

    /// A socket that is shown, with its other end.
    pub(super) fn look_at(&mut self, socket: &Socket) {
        let holders = self.shows_holders && self.lacks_holders(socket);
        self.found |= holders || self.shows_peer && self.lacks_peer(socket);
    }

    /// A connection that is shown.
    pub(super) fn look_at_pair(&mut self, pair: &Connection<'_>) {
        let shows = |columns: [Column; 2]| {
            self.args.columns.is_empty() || columns.iter().any(|c| self.args.columns.contains(c))
        };
        let client = shows([Column::Client, Column::ClientFd]) && self.lacks_holders(pair.client);
        let server = shows([Column::Server, Column::ServerFd]) && self.lacks_holders(pair.server);
        self.found |= client || server;
    }

    fn lacks_holders(&self, socket: &Socket) -> bool {
        socket.holders.is_none() && self.hidden().processes > 0
    }

    fn lacks_peer(&self, socket: &Socket) -> bool {
        match OtherEnd::of(socket, self.snapshot) {
            OtherEnd::Nothing => false,
            OtherEnd::Socket(peer) | OtherEnd::Backlog(peer) => self.lacks_holders(peer),
            OtherEnd::Unknown(_) => self.hidden() != Hidden::default(),
        }
    }

    fn hidden(&self) -> Hidden {
        self.snapshot.hidden()
    }

    /// How it ends, after all that is shown has been looked at.
    pub(super) fn answer(self, matched: bool) -> Answer {
        let missed: Vec<&Target> = match self.args.addresses().count() {
            0 => Vec::new(),
            1 if matched => Vec::new(),
            _ => self
                .args
                .addresses()
                .filter(|t| selection::at(t, self.snapshot).is_empty())
                .collect(),
        };
        let asked_for_all =
            self.args.addresses().next().is_none() && !self.args.has_narrow_filter();
        let gap = self.found
            || (asked_for_all || !matched) && self.hidden().namespaces > 0
            || missed.iter().any(|target| self.may_be_hidden(target))
            || self.args.pids.iter().any(|&pid| is_closed_to_us(pid));
        if gap {
            return incomplete(self.hidden(), matched);
        }
        let names: Vec<String> = missed.iter().map(|t| t.address.to_string()).collect();
        let names = names.join(" or ");
        if matched {
            return Answer {
                exit: Exit::Done,
                words: (!missed.is_empty()).then(|| format!("no socket has the address {names}")),
            };
        }
        let what = match (missed.is_empty(), self.args.has_filter()) {
            (false, _) => format!("no socket has the address {names}; sockeye ls --all shows all"),
            (true, true) => "no socket is like that; leave an option away".to_owned(),
            (true, false) => "there is no such socket; sockeye ls --all shows all".to_owned(),
        };
        Answer {
            exit: Exit::NothingThere,
            words: Some(format!("nothing to list: {what}")),
        }
    }

    /// Whether a socket that was not found may be in a namespace that was not looked into.
    fn may_be_hidden(&self, target: &Target) -> bool {
        let hidden = self.hidden();
        hidden.namespaces > 0
            // The file says that there was a socket once, and the namespaces of those processes
            // are not even counted.
            || namespaces_are_uncertain(self.args, hidden)
                && target.address.path().is_some_and(|path| {
                    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
                })
    }
}

/// Whether sockets may live where we were not allowed to look. Root is denied single processes at
/// most (pid 1 of a sandbox).
pub(super) fn namespaces_are_uncertain(args: &Ls, hidden: Hidden) -> bool {
    args.netns == Netns::All
        && (hidden.namespaces > 0 || hidden.processes > 0 && !geteuid().is_root())
}

/// A process whose descriptors we may not read.
fn is_closed_to_us(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Exit 7, and who was in the way.
pub(super) fn incomplete(hidden: Hidden, matched: bool) -> Answer {
    let counted = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let denied = [
        counted(hidden.processes, "process", "processes"),
        counted(hidden.namespaces, "network namespace", "network namespaces"),
    ];
    let changing = counted(hidden.tables, "changing table", "changing tables");
    let parts: Vec<String> = denied.into_iter().flatten().collect();
    let (parts, denied) = match parts.is_empty() {
        true => (changing.into_iter().collect(), false),
        false => (parts, true),
    };
    let lead = match matched {
        true => "the list is incomplete",
        false => "nothing found, but that is not certain",
    };
    let advice = match (denied, geteuid().is_root()) {
        (true, false) => "; root would see them",
        (true, true) => "",
        (false, _) => "; try again",
    };
    Answer {
        exit: Exit::Incomplete,
        words: Some(format!(
            "{lead}: {} could not be read{advice}",
            parts.join(" and ")
        )),
    }
}
