//! The default listing: one row for each socket.

use std::fmt::{self, Write};

use sockeye::inspect::{Snapshot, Socket, SocketState};

use super::ListOutcome;
use super::completeness::Completeness;
use super::listing::{self, Row, RowDetail};
use super::selection::{self, Item};
use crate::args::Ls;
use crate::lookup::stopped::Stopped;
use crate::lookup::users::UserNames;
use crate::output::column::Column;
use crate::output::json;
use crate::output::record::SocketRecord;
use crate::output::socket::{self, OtherEnd, write_address, write_fds, write_processes};

const COLUMNS: [Column; 10] = [
    Column::Kind,
    Column::State,
    Column::Address,
    Column::RecvQ,
    Column::SendQ,
    Column::User,
    Column::Process,
    Column::Fd,
    Column::Peer,
    Column::PeerUser,
];

pub(super) fn list(
    args: &Ls,
    snapshot: &Snapshot,
    users: &UserNames,
    out: &mut Vec<u8>,
) -> anyhow::Result<ListOutcome> {
    let items = selection::select(args, snapshot);
    let stopped = Stopped::default();
    let mut completeness = Completeness::new(args, snapshot);
    for item in &items {
        completeness.look_at(item.socket);
    }
    if args.json {
        for item in &items {
            json::line(out, &record(args, item.socket, snapshot, &stopped))?;
        }
    } else if !items.is_empty() {
        let row = |item| SocketRow {
            item,
            snapshot,
            users,
            stopped: &stopped,
        };
        let rows: Vec<SocketRow> = items.iter().map(row).collect();
        listing::write(args, &COLUMNS, &rows, out)?;
    }
    Ok(completeness.outcome(!items.is_empty()))
}

/// Without the fields that were not asked for.
fn record<'a>(
    args: &Ls,
    socket: &'a Socket,
    snapshot: &'a Snapshot,
    stopped: &'a Stopped,
) -> SocketRecord<'a> {
    let mut record = SocketRecord::of(socket, snapshot, stopped);
    record.keep(&args.columns);
    record
}

struct SocketRow<'a> {
    item: &'a Item<'a>,
    snapshot: &'a Snapshot,
    users: &'a UserNames,
    stopped: &'a Stopped,
}

impl Row for SocketRow<'_> {
    fn write(&self, cell: &mut String, column: Column, form: RowDetail) -> fmt::Result {
        match self.item.server() {
            Some(server) => self.write_caller(cell, server, column, form),
            None => self.write_own(cell, column, form),
        }
    }

    fn is_nested(&self) -> bool {
        self.item.under.is_some()
    }
}

impl SocketRow<'_> {
    fn write_own(&self, cell: &mut String, column: Column, form: RowDetail) -> fmt::Result {
        let socket = self.item.socket;
        let end = OtherEnd::of(socket, self.snapshot);
        let brief = form == RowDetail::Brief;
        match column {
            Column::Kind => cell.write_str(socket::kind(socket.kind)),
            Column::State => match (socket.state, socket.shut_read) {
                (SocketState::Listening, Some(true)) if brief => cell.write_str("shut down"),
                (SocketState::Listening, Some(true)) => cell.write_str("listening (shut down)"),
                (state, _) => cell.write_str(socket::state(state)),
            },
            Column::Address => match end.socket() {
                Some(peer) if socket.name.is_none() && peer.name.is_some() => {
                    cell.write_str("→ ")?;
                    write_address(cell, peer)
                }
                _ => write_address(cell, socket),
            },
            Column::RecvQ => number(cell, socket.recv_queue),
            Column::SendQ => number(cell, socket.send_queue),
            Column::User => self.users.write(cell, socket.uid),
            Column::Process => {
                write_processes(cell, socket.holders.as_deref(), self.stopped, brief)
            }
            Column::Fd => write_fds(cell, socket.holders.as_deref(), brief),
            Column::Peer => self.peer(cell, end, form),
            Column::PeerUser => match end {
                OtherEnd::Nothing => cell.write_char('-'),
                end => self.users.write(cell, end.socket().and_then(|s| s.uid)),
            },
            Column::Inode => number(cell, Some(socket.inode)),
            Column::PeerInode => match end {
                OtherEnd::Nothing | OtherEnd::Backlog(_) => cell.write_char('-'),
                end => number(cell, end.inode()),
            },
            Column::PeerAddress => match end {
                OtherEnd::Nothing => cell.write_char('-'),
                OtherEnd::Unknown(_) => cell.write_char('?'),
                OtherEnd::Socket(peer) | OtherEnd::Backlog(peer) => write_address(cell, peer),
            },
            Column::File => match &socket.file {
                None => cell.write_char('-'),
                Some(file) => socket::write_file(cell, file),
            },
            Column::Netns => number(cell, socket.namespace),
            _ => Ok(()),
        }
    }

    /// A client that has no socket of its own on the server's side, shown from there: the address of the
    /// server, and the client as its peer.
    fn write_caller(
        &self,
        cell: &mut String,
        server: &Socket,
        column: Column,
        form: RowDetail,
    ) -> fmt::Result {
        let client = self.item.socket;
        match column {
            Column::Kind | Column::State | Column::Netns => self.write_own(cell, column, form),
            Column::Address => write_address(cell, server),
            Column::Peer => self.peer(cell, OtherEnd::Socket(client), form),
            Column::PeerUser => self.users.write(cell, client.uid),
            Column::PeerInode => number(cell, Some(client.inode)),
            Column::PeerAddress => write_address(cell, client),
            _ => cell.write_char('-'),
        }
    }

    /// The process of the peer; if that is not known, the inode number.
    fn peer(&self, cell: &mut String, end: OtherEnd<'_>, form: RowDetail) -> fmt::Result {
        if let OtherEnd::Nothing = end {
            return cell.write_char('-');
        }
        let holders = end.socket().and_then(|socket| socket.holders.as_deref());
        write_processes(cell, holders, self.stopped, form == RowDetail::Brief)?;
        match (holders, end.inode()) {
            (None | Some([]), Some(inode)) => write!(cell, " (inode {inode})"),
            _ => Ok(()),
        }
    }
}

pub(super) fn number(cell: &mut String, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => write!(cell, "{value}"),
        None => cell.write_char('?'),
    }
}
