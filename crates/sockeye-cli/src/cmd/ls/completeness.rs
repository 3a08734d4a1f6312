//! [`Completeness`]: whether the list is complete, the exit code, and the reason on standard error.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use sockeye::inspect::{Endpoints, Hidden, Holder, Process, Snapshot, Socket};

use super::unreadable::{denied, is_gone, is_unreadable, named_unreadable, process};
use super::{ListOutcome, not_found, selection};
use crate::args::{ListedAddress, Ls, Netns};
use crate::cmd::hung;
use crate::cmd::visibility::{hidden_reason, or_root};
use crate::exit::Exit;
use crate::output::column::Column;
use crate::output::socket::OtherEnd;

/// Looks for what is unknown in what is shown.
pub(super) struct Completeness<'a> {
    args: &'a Ls,
    snapshot: &'a Snapshot,
    /// Whether processes and peers are shown at all.
    shows_holders: bool,
    shows_peer: bool,
    is_incomplete: bool,
    /// The processes that have a shown socket open.
    holders: HashSet<i32>,
}

impl<'a> Completeness<'a> {
    pub(super) fn new(args: &'a Ls, snapshot: &'a Snapshot) -> Self {
        let shows = |wanted: &[Column]| {
            args.columns.is_empty() || args.columns.iter().any(|column| wanted.contains(column))
        };
        Self {
            args,
            snapshot,
            shows_holders: shows(&[Column::Process, Column::Fd]),
            shows_peer: shows(&[Column::Peer, Column::PeerInode, Column::PeerAddress]),
            is_incomplete: snapshot.hidden().tables > 0,
            holders: HashSet::new(),
        }
    }

    /// Looks at a socket that is shown, and at its peer.
    pub(super) fn look_at(&mut self, socket: &Socket) {
        self.is_incomplete = self.is_incomplete
            || self.shows_holders && socket.holders.is_none()
            || self.shows_peer && self.lacks_peer(socket)
            || self.lacks_waiting(socket);
        self.note_holders(socket);
    }

    /// Looks at a connection that is shown.
    pub(super) fn look_at_pair(&mut self, pair: &Endpoints<'_>) {
        let shows = |columns: [Column; 2]| {
            self.args.columns.is_empty() || columns.iter().any(|c| self.args.columns.contains(c))
        };
        let client = shows([Column::Client, Column::ClientFd]) && pair.client.holders.is_none();
        let server = shows([Column::Server, Column::ServerFd]) && pair.server.holders.is_none();
        self.is_incomplete |= client || server;
        self.note_holders(pair.client);
        self.note_holders(pair.server);
    }

    fn note_holders(&mut self, socket: &Socket) {
        if self.hidden().sockets > 0 {
            let holders = socket.holders.iter().flatten();
            self.holders
                .extend(holders.map(|holder| holder.process.pid));
        }
    }

    fn lacks_peer(&self, socket: &Socket) -> bool {
        match OtherEnd::of(socket, self.snapshot) {
            OtherEnd::Nothing => false,
            OtherEnd::Socket(peer) | OtherEnd::Backlog(peer) => peer.holders.is_none(),
            OtherEnd::Unknown(_) => self.is_hidden(),
        }
    }

    /// Looks at a listener whose connections are wanted: some in its backlog may be unknown.
    pub(super) fn look_at_backlog(&mut self, socket: &Socket) {
        self.is_incomplete |= self.lacks_waiting(socket);
    }

    fn lacks_waiting(&self, socket: &Socket) -> bool {
        let is_unknown = |&inode: &u32| self.snapshot.by_inode(inode).is_none();
        !self.args.listening
            && self.args.inodes.is_empty()
            && socket.waiting.iter().any(is_unknown)
            && self.is_hidden()
    }

    /// Whether what is not in the snapshot may be hidden by permissions, rather than gone.
    fn is_hidden(&self) -> bool {
        self.hidden() != Hidden::default()
            || self.args.netns == Netns::All && hidden_reason(self.snapshot).is_some()
    }

    fn hidden(&self) -> Hidden {
        self.snapshot.hidden()
    }

    /// The outcome, after all that is shown was looked at.
    pub(super) fn outcome(self, matched: bool) -> ListOutcome {
        let missed: Vec<&ListedAddress> = match self.args.addresses().count() {
            0 => Vec::new(),
            1 if matched => Vec::new(),
            _ => self
                .args
                .addresses()
                .filter(|t| selection::at(t, self.snapshot).is_empty())
                .collect(),
        };
        let lead = if matched {
            "the list is incomplete"
        } else {
            "nothing found, but that is not certain"
        };
        let unanswered = self.snapshot.unanswered();
        // Such a file must not be looked at again.
        if !unanswered.is_empty() {
            return not_answered(lead, &unanswered);
        }
        let asked_for_all =
            self.args.addresses().next().is_none() && !self.args.has_narrow_filter();
        let gap = self.is_incomplete
            || (asked_for_all || !matched)
                && (self.hidden().namespaces > 0 || self.hidden().sockets > 0)
            || self
                .snapshot
                .unlisted()
                .iter()
                .any(|holder| self.is_asked_for(holder))
            || missed.iter().any(|target| self.may_be_hidden(target));
        let closed = self.args.pids.iter().filter(|&&pid| is_unreadable(pid));
        let closed: Vec<String> = closed.map(|&pid| denied(pid)).collect();
        if gap || !closed.is_empty() {
            let asked = (!closed.is_empty()).then(|| closed.join(", "));
            return incomplete(lead, self.snapshot, asked);
        }
        if let Some(closed) = missed
            .iter()
            .find_map(|target| not_found::denied_by(target))
        {
            return ListOutcome {
                exit: Exit::Incomplete,
                message: Some(format!("{lead}: {closed}{}", or_root("may"))),
            };
        }
        let missing = (!missed.is_empty()).then(|| not_found::describe(&missed, self.snapshot));
        if matched {
            return ListOutcome {
                exit: Exit::Done,
                message: missing,
            };
        }
        let what = missing.unwrap_or_else(|| self.nothing());
        ListOutcome {
            exit: Exit::NothingThere,
            message: Some(format!("nothing to list: {what}")),
        }
    }

    /// Why nothing matches, though there are sockets at the addresses.
    fn nothing(&self) -> String {
        if let Some(pid) = self.args.pids.iter().find(|&&pid| is_gone(pid)) {
            return format!("there is no process {pid}; give one that runs");
        }
        if let Some(&pid) = self.args.pids.iter().find(|&&pid| !self.has_any(pid)) {
            return format!("{} has no UNIX socket open", process(pid));
        }
        let addresses: Vec<_> = self.args.addresses().collect();
        match (self.args.connections, self.args.has_filter(), &*addresses) {
            (true, false, [one]) => format!(
                "the socket at {} has no connections; omit --connections to see it",
                one.address
            ),
            (true, false, _) => {
                "there are no connections; -a adds the unnamed pairs of a process with itself; omit --connections to see the sockets".to_owned()
            }
            (true, true, _) => "no connection matches; drop a filter".to_owned(),
            (false, true, _) => "no socket matches; drop a filter".to_owned(),
            (false, false, []) if !self.args.all => {
                "no UNIX socket is listening; sockeye ls --all shows all".to_owned()
            }
            (false, false, []) => "there is no UNIX socket".to_owned(),
            (false, false, _) => "there is no such socket; sockeye ls --all shows all".to_owned(),
        }
    }

    fn has_any(&self, pid: i32) -> bool {
        let mut holders = self
            .snapshot
            .sockets()
            .iter()
            .flat_map(|s| s.holders.iter());
        holders.any(|all| all.iter().any(|holder| holder.process.pid == pid))
    }

    /// Whether a socket that sock_diag(7) did not list, but a process has open, was asked for.
    fn is_asked_for(&self, holder: &Holder) -> bool {
        let Process { pid, uid, .. } = *holder.process;
        self.args.pids.contains(&pid)
            || self.args.names_user(uid)
            || self.args.addresses().next().is_some() && self.holders.contains(&pid)
    }

    /// Whether a socket that was not found may be in a network namespace that could not be read.
    fn may_be_hidden(&self, target: &ListedAddress) -> bool {
        let hidden = self.hidden();
        hidden.namespaces > 0
            || hidden.sockets > 0
            // The file says that there was a socket once, and the namespaces of unreadable processes
            // are not counted.
            || self.args.netns == Netns::All
                && hidden_reason(self.snapshot).is_some()
                && target.address.path().is_some_and(|path| {
                    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
                })
    }
}

/// Exit 7, and which files did not answer.
pub(super) fn not_answered(lead: &str, files: &[PathBuf]) -> ListOutcome {
    ListOutcome {
        exit: Exit::Incomplete,
        message: Some(format!("{lead}: {}", hung::describe(files))),
    }
}

/// Exit 7, and what could not be read; `asked` are processes that were asked for by pid.
pub(super) fn incomplete(lead: &str, snapshot: &Snapshot, asked: Option<String>) -> ListOutcome {
    let hidden = snapshot.hidden();
    let counted = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let named = asked.or_else(|| named_unreadable(hidden.processes));
    let missing = [
        counted(hidden.processes, "process", "processes").filter(|_| named.is_none()),
        counted(hidden.namespaces, "network namespace", "network namespaces"),
        counted(
            hidden.sockets,
            "socket of another network namespace",
            "sockets of other network namespaces",
        ),
        counted(
            hidden.tables,
            "table of sockets that kept changing",
            "tables of sockets that kept changing",
        ),
    ];
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    let counted = match &*missing {
        [] => None,
        missing => Some(format!("{} could not be read", missing.join(" and "))),
    };
    let why: Vec<String> = named.into_iter().chain(counted).collect();
    let why = if why.is_empty() {
        hidden_reason(snapshot).unwrap_or_else(|| "a process could not be read".to_owned())
    } else {
        let advice = match hidden.tables {
            0 => or_root("would see them"),
            _ => "; try again".to_owned(),
        };
        format!("{}{advice}", why.join("; "))
    };
    ListOutcome {
        exit: Exit::Incomplete,
        message: Some(format!("{lead}: {why}")),
    }
}
