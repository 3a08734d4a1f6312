//! What of an answer is not known, and the word that says so.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;

use rustix::process::geteuid;
use sockeye::inspect::{Connection, Hidden, Snapshot, Socket};

use super::{Answer, selection};
use crate::args::{Column, Ls, Netns, Target};
use crate::cmd::why::blind;
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
            let lead = match matched {
                true => "the list is incomplete",
                false => "nothing found, but that is not certain",
            };
            return incomplete(lead, self.snapshot);
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
            || self.args.netns == Netns::All
                && blind(self.snapshot).is_some()
                && target.address.path().is_some_and(|path| {
                    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
                })
    }
}

/// A process whose descriptors we may not read; some let themselves be counted, and no more.
fn is_closed_to_us(pid: i32) -> bool {
    let denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(mut fds) => fds.next().is_some_and(|fd| {
            let link = fd.and_then(|fd| fs::read_link(fd.path()));
            link.is_err_and(|error| denied(&error))
        }),
        Err(error) => denied(&error),
    }
}

/// Exit 7, and who was in the way.
pub(super) fn incomplete(lead: &str, snapshot: &Snapshot) -> Answer {
    let hidden = snapshot.hidden();
    let counted = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let denied = [
        counted(hidden.processes, "process", "processes"),
        counted(hidden.namespaces, "network namespace", "network namespaces"),
    ];
    let denied: Vec<String> = denied.into_iter().flatten().collect();
    let why = if let Some(tables) = counted(hidden.tables, "table", "tables")
        && denied.is_empty()
    {
        format!("{tables} of sockets changed while being read; try again")
    } else if denied.is_empty() {
        blind(snapshot).unwrap_or_else(|| "a process could not be read".to_owned())
    } else {
        let advice = match geteuid().is_root() {
            true => "",
            false => "; root would see them",
        };
        format!("{} could not be read{advice}", denied.join(" and "))
    };
    Answer {
        exit: Exit::Incomplete,
        words: Some(format!("{lead}: {why}")),
    }
}
