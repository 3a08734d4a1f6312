//! `--connections`: one row for each connection.

use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::Serialize;
use sockeye::inspect::{Endpoints, Snapshot, Socket};

use super::completeness::Completeness;
use super::listing::{self, Row, RowDetail};
use super::rows::number;
use super::{ListOutcome, selection};
use crate::args::Ls;
use crate::lookup::stopped::Stopped;
use crate::lookup::users::UserNames;
use crate::output::column::Column;
use crate::output::json;
use crate::output::record::SocketRecord;
use crate::output::socket::{self, write_address, write_fds, write_processes};

const COLUMNS: [Column; 7] = [
    Column::Kind,
    Column::State,
    Column::Address,
    Column::Client,
    Column::ClientFd,
    Column::Server,
    Column::ServerFd,
];

#[derive(Serialize)]
struct Pair<'a> {
    state: &'static str,
    client: SocketRecord<'a>,
    server: SocketRecord<'a>,
}

pub(super) fn list(
    args: &Ls,
    snapshot: &Snapshot,
    users: &UserNames,
    out: &mut Vec<u8>,
) -> anyhow::Result<ListOutcome> {
    let at_addresses: Option<HashSet<u32>> = args.addresses().next().map(|_| {
        let found = args
            .addresses()
            .flat_map(|target| selection::at(target, snapshot));
        found.map(|socket| socket.inode).collect()
    });
    let is_at = |socket: &Socket| {
        let inodes = at_addresses.as_ref();
        inodes.is_none_or(|inodes| inodes.contains(&socket.inode))
    };
    let is_meant = |connection: &Endpoints<'_>| {
        let ends = [connection.client, connection.server];
        ends.iter().any(|end| is_at(end))
            && ends.iter().any(|end| selection::passes(args, end))
            && (args.all || !args.inodes.is_empty() || !is_private(connection))
    };
    let mut connections: Vec<Endpoints> = snapshot.connections().filter(is_meant).collect();
    connections.sort_by_cached_key(|connection| {
        let named = connection
            .server
            .name
            .as_ref()
            .or(connection.client.name.as_ref());
        (
            named.is_none(),
            named.map(socket::address),
            connection.server.inode,
        )
    });

    let stopped = Stopped::default();
    let mut completeness = Completeness::new(args, snapshot);
    for connection in &connections {
        completeness.look_at_pair(connection);
    }
    for socket in snapshot.sockets() {
        if is_at(socket) && selection::passes(args, socket) {
            completeness.look_at_backlog(socket);
        }
    }
    if args.json {
        for connection in &connections {
            let pair = Pair {
                state: socket::state(connection.client.state),
                client: SocketRecord::of(connection.client, snapshot, &stopped),
                server: SocketRecord::of(connection.server, snapshot, &stopped),
            };
            json::line(out, &pair)?;
        }
    } else if !connections.is_empty() {
        let rows: Vec<PairRow> = connections
            .iter()
            .map(|pair| PairRow {
                pair,
                users,
                stopped: &stopped,
            })
            .collect();
        listing::write(args, &COLUMNS, &rows, out)?;
    }
    Ok(completeness.outcome(!connections.is_empty()))
}

/// An unnamed pair with both ends in one process, which may be how its threads wake each other.
fn is_private(connection: &Endpoints<'_>) -> bool {
    let (client, server) = (connection.client, connection.server);
    let only_holder = |socket: &Socket| {
        let mut pids = socket.holders.iter().flatten().map(|h| h.process.pid);
        let first = pids.next()?;
        pids.all(|pid| pid == first).then_some(first)
    };
    client.name.is_none()
        && server.name.is_none()
        && only_holder(client).is_some_and(|pid| only_holder(server) == Some(pid))
}

struct PairRow<'a> {
    pair: &'a Endpoints<'a>,
    users: &'a UserNames,
    stopped: &'a Stopped,
}

impl Row for PairRow<'_> {
    fn write(&self, cell: &mut String, column: Column, form: RowDetail) -> fmt::Result {
        let (client, server) = (self.pair.client, self.pair.server);
        let brief = form == RowDetail::Brief;
        let processes = |cell: &mut String, of: &Socket| {
            write_processes(cell, of.holders.as_deref(), self.stopped, brief)
        };
        match column {
            Column::Kind => cell.write_str(socket::kind(server.kind)),
            Column::State => cell.write_str(socket::state(client.state)),
            Column::Address if server.name.is_some() => write_address(cell, server),
            Column::Address => write_address(cell, client),
            Column::Netns => number(cell, client.namespace),
            Column::Client => processes(cell, client),
            Column::ClientUser => self.users.write(cell, client.uid),
            Column::ClientFd => write_fds(cell, client.holders.as_deref(), brief),
            Column::ClientInode => number(cell, Some(client.inode)),
            Column::ClientQ => number(cell, client.recv_queue),
            Column::Server => processes(cell, server),
            Column::ServerUser => self.users.write(cell, server.uid),
            Column::ServerFd => write_fds(cell, server.holders.as_deref(), brief),
            Column::ServerInode => number(cell, Some(server.inode)),
            Column::ServerQ => number(cell, server.recv_queue),
            _ => cell.write_char('-'),
        }
    }
}
