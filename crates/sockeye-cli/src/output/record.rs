//! A socket as JSON.

use std::borrow::Cow;

use serde::Serialize;
use sockeye::inspect::{BoundName, Holder, Snapshot, Socket};

use super::socket::{
    OtherEnd, address_base64, file_state, json_address, kind, path_address, reached_at,
    reached_at_base64, state,
};
use crate::escape;
use crate::lookup::stopped::Stopped;
use crate::output::column::Column;

/// The fields of a socket in JSON. Their names are stable.
#[derive(Debug, Serialize)]
pub(crate) struct SocketRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Field<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Field<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Field<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address_base64: Option<String>,
    /// The name that was bound, if the file was renamed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound_as: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inode: Field<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Field<FileRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Field<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recv_queue: Field<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) send_queue: Field<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) netns: Field<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) holders: Field<Holders<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Field<PeerRecord<'a>>,
}

/// A field that may be omitted, and whose value may be null.
pub(crate) type Field<T> = Option<Option<T>>;

#[derive(Debug, Serialize)]
pub(crate) struct FileRecord {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) state: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PeerRecord<'a> {
    inode: Option<u32>,
    address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_base64: Option<String>,
    uid: Option<u32>,
    holders: Option<Holders<'a>>,
}

#[derive(Debug)]
pub(crate) struct Holders<'a>(pub(crate) &'a [Holder], pub(crate) Option<&'a Stopped>);

#[derive(Serialize)]
struct HolderRecord<'a> {
    pid: i32,
    comm: Option<Cow<'a, str>>,
    uid: Option<u32>,
    fd: i32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

impl Serialize for Holders<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|holder| {
            let process = &holder.process;
            HolderRecord {
                pid: process.pid,
                comm: process.command.as_deref().map(String::from_utf8_lossy),
                uid: process.uid,
                fd: holder.fd,
                stopped: self.1.is_some_and(|stopped| stopped.has(process.pid)),
            }
        }))
    }
}

impl<'a> SocketRecord<'a> {
    pub(crate) fn of(socket: &'a Socket, snapshot: &'a Snapshot, stopped: &'a Stopped) -> Self {
        let holders = |holders| Holders(holders, Some(stopped));
        Self {
            kind: Some(Some(kind(socket.kind))),
            state: Some(Some(state(socket.state))),
            address: Some(reached_at(socket)),
            address_base64: reached_at_base64(socket),
            bound_as: socket
                .file_path
                .as_ref()
                .and(socket.name.as_ref())
                .map(json_address),
            inode: Some(Some(socket.inode)),
            file: Some(socket.file.map(|file| FileRecord {
                dev: file.device,
                ino: file.inode,
                state: file.state.map(file_state),
            })),
            uid: Some(socket.uid),
            recv_queue: Some(socket.recv_queue),
            send_queue: Some(socket.send_queue),
            netns: Some(socket.namespace),
            holders: Some(socket.holders.as_deref().map(holders)),
            peer: Some(PeerRecord::of(OtherEnd::of(socket, snapshot), stopped)),
        }
    }
}

impl<'a> SocketRecord<'a> {
    /// From a socket file alone.
    pub(crate) fn of_path(path: &'a [u8]) -> Self {
        Self {
            kind: Some(None),
            state: Some(None),
            address: Some(Some(escape::json_address(path_address(path)))),
            address_base64: address_base64(&BoundName::Path(path.to_vec())),
            bound_as: None,
            inode: Some(None),
            file: Some(None),
            uid: Some(None),
            recv_queue: Some(None),
            send_queue: Some(None),
            netns: Some(None),
            holders: Some(None),
            peer: Some(None),
        }
    }

    /// Keeps the fields of these columns only; all, if there are none.
    pub(crate) fn keep(&mut self, columns: &[Column]) {
        fn retain<T>(field: &mut Option<T>, columns: &[Column], of: &[Column]) {
            *field = field
                .take()
                .filter(|_| columns.iter().any(|column| of.contains(column)));
        }
        if columns.is_empty() {
            return;
        }
        retain(&mut self.kind, columns, &[Column::Kind]);
        retain(&mut self.state, columns, &[Column::State]);
        retain(&mut self.address, columns, &[Column::Address]);
        retain(&mut self.address_base64, columns, &[Column::Address]);
        retain(&mut self.bound_as, columns, &[Column::Address]);
        retain(&mut self.inode, columns, &[Column::Inode]);
        retain(&mut self.file, columns, &[Column::File]);
        retain(&mut self.uid, columns, &[Column::User]);
        retain(&mut self.recv_queue, columns, &[Column::RecvQ]);
        retain(&mut self.send_queue, columns, &[Column::SendQ]);
        retain(&mut self.netns, columns, &[Column::Netns]);
        retain(&mut self.holders, columns, &[Column::Process, Column::Fd]);
        retain(
            &mut self.peer,
            columns,
            &[
                Column::Peer,
                Column::PeerUser,
                Column::PeerInode,
                Column::PeerAddress,
            ],
        );
    }
}

impl<'a> PeerRecord<'a> {
    fn of(end: OtherEnd<'a>, stopped: &'a Stopped) -> Option<Self> {
        if let OtherEnd::Nothing = end {
            return None;
        }
        let socket = end.socket();
        Some(Self {
            inode: end.inode(),
            address: socket.and_then(reached_at),
            address_base64: socket.and_then(reached_at_base64),
            uid: socket.and_then(|socket| socket.uid),
            holders: socket
                .and_then(|socket| socket.holders.as_deref())
                .map(|holders| Holders(holders, Some(stopped))),
        })
    }
}
