//! Who listens at an address, and whether it would accept a connection.

use std::fmt;

use serde::Serialize;
use sockeye::Kind;
use sockeye::inspect::{Holder, Socket, SocketState};

use super::user;
use crate::cmd::visibility::is_reachable;
use crate::lookup::process_start;
use crate::output::rfc3339::rfc3339;
use crate::output::socket::{self, kind, state};

/// What connect(2) finds among the sockets that are bound to an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// It would accept.
    Open(&'a Socket),
    /// The backlog is full.
    Full(&'a Socket),
    /// The listener is shut down: it accepts no more connections.
    ShutDown(&'a Socket),
    /// It is bound and does not listen.
    NotListening(&'a Socket),
    /// A connected datagram socket, which receives from its peer only.
    Reserved(&'a Socket),
    /// Only a socket of another kind is there.
    OtherKind(&'a Socket),
    Nobody,
}

/// `bound` are the sockets with the name of the address, accepted ones too.
pub(super) fn standing<'a>(kind: Kind, bound: &[&'a Socket]) -> Standing<'a> {
    let reachable = |socket: &&&Socket| is_reachable(socket);
    let mut same = bound.iter().filter(reachable).filter(|s| s.kind == kind);
    // One that listens comes before one that does not.
    let listening = same
        .clone()
        .find(|socket| socket.state == SocketState::Listening);
    let Some(socket) = listening.or_else(|| same.next()) else {
        return match bound.iter().find(reachable) {
            Some(other) => Standing::OtherKind(other),
            None => Standing::Nobody,
        };
    };
    match (socket.kind, socket.state) {
        (Kind::Datagram, SocketState::Connected | SocketState::Closed) => {
            Standing::Reserved(socket)
        }
        (Kind::Datagram, _) => Standing::Open(socket),
        (_, SocketState::Listening) if socket.shut_read == Some(true) => Standing::ShutDown(socket),
        (_, SocketState::Listening) if is_full(socket) => Standing::Full(socket),
        (_, SocketState::Listening) => Standing::Open(socket),
        _ => Standing::NotListening(socket),
    }
}

/// The kernel queues one more than the limit of listen(2).
fn is_full(socket: &Socket) -> bool {
    let queues = socket.recv_queue.zip(socket.send_queue);
    queues.is_some_and(|(waiting, limit)| waiting > limit)
}

/// `3 waiting, limit 2, full`
pub(super) fn queue(socket: &Socket) -> Option<String> {
    let (waiting, limit) = socket.recv_queue.zip(socket.send_queue)?;
    let full = if waiting > limit { ", full" } else { "" };
    Some(format!("{waiting} waiting, limit {limit}{full}"))
}

/// The processes that have a socket open: `pid 4242 (nginx, since 2026-02-03T04:05:06Z)`, or several.
pub(super) struct Who {
    names: String,
    several: bool,
}

impl Who {
    pub(super) fn of(socket: &Socket) -> Self {
        Self::of_all(&[socket])
    }

    pub(super) fn of_all(sockets: &[&Socket]) -> Self {
        let holders = sockets
            .iter()
            .filter_map(|socket| socket.holders.as_deref());
        let mut holders: Vec<&Holder> = holders.flatten().collect();
        holders.sort_by_key(|holder| holder.process.pid);
        holders.dedup_by_key(|holder| holder.process.pid);
        let mut names: Vec<String> = holders.iter().take(3).map(|holder| name(holder)).collect();
        if holders.len() > names.len() {
            names.push(format!("{} more", holders.len() - names.len()));
        }
        if let Some(socket) = sockets.iter().find(|socket| socket.holders.is_none()) {
            let of = socket.uid.map(|uid| format!(" of uid {uid}"));
            let of = of.unwrap_or_default();
            names.push(format!("a process{of} that {}", user::hidden()));
        }
        let last = names.pop();
        let last = last
            .unwrap_or_else(|| "a process that has not received its fd yet (SCM_RIGHTS)".into());
        let several = !names.is_empty();
        let names = if several {
            format!("{} and {last}", names.join(", "))
        } else {
            last
        };
        Self { names, several }
    }

    /// The form of a verb that agrees with the number of processes.
    pub(super) fn does(&self, one: &'static str, several: &'static str) -> &'static str {
        if self.several { several } else { one }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names)
    }
}

/// `pid 4242 (nginx)`
pub(super) fn brief(holder: &Holder) -> String {
    let process = &holder.process;
    let command = socket::command(process.command.as_deref());
    format!("pid {} ({command})", process.pid)
}

fn name(holder: &Holder) -> String {
    let process = &holder.process;
    let command = socket::command(process.command.as_deref());
    let since = process_start::started(process.pid).and_then(rfc3339);
    let since = since.map_or_else(String::new, |since| format!(", since {since}"));
    format!("pid {} ({}{since})", process.pid, command)
}

/// A listener in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Listener {
    kind: &'static str,
    state: &'static str,
    inode: u32,
    uid: Option<u32>,
    waiting: Option<u32>,
    limit: Option<u32>,
    netns: Option<u64>,
    holders: Option<Vec<ShownHolder>>,
}

#[derive(Debug, Serialize)]
struct ShownHolder {
    pid: i32,
    comm: Option<String>,
    uid: Option<u32>,
    fd: i32,
    since: Option<String>,
}

impl From<&Socket> for Listener {
    fn from(socket: &Socket) -> Self {
        let is_listening = socket.state == SocketState::Listening;
        let holders = socket.holders.as_deref();
        Self {
            kind: kind(socket.kind),
            state: state(socket.state),
            inode: socket.inode,
            uid: socket.uid,
            waiting: socket.recv_queue.filter(|_| is_listening),
            limit: socket.send_queue.filter(|_| is_listening),
            netns: socket.namespace,
            holders: holders.map(|holders| holders.iter().map(ShownHolder::from).collect()),
        }
    }
}

impl From<&Holder> for ShownHolder {
    fn from(holder: &Holder) -> Self {
        let process = &holder.process;
        let comm = process.command.as_deref();
        Self {
            pid: process.pid,
            comm: comm.map(|comm| String::from_utf8_lossy(comm).into_owned()),
            uid: process.uid,
            fd: holder.fd,
            since: process_start::started(process.pid).and_then(rfc3339),
        }
    }
}
