//! [`JsonView`]: a JSON object for each event.

use std::borrow::Cow;
use std::io;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sockeye::Pid;
use sockeye::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece,
};

use super::connection::TapConnection;
use super::text::prefix;
use super::{TapMissed, TapView};
use crate::output::json;
use crate::output::rfc3339::rfc3339_nanos;

/// A JSON object for each event. The names of the fields are stable.
pub(super) struct JsonView {
    /// The most bytes of a message that are shown.
    most: usize,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum TapRecord<'a> {
    Begin {
        connection: u64,
        time: Option<String>,
        kind: String,
        #[serde(flatten)]
        client: ClientRecord<'a>,
    },
    Message {
        connection: u64,
        time: Option<String>,
        direction: &'static str,
        size: usize,
        fds: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        credentials: Option<CredentialsRecord>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        #[serde(flatten)]
        client: ClientRecord<'a>,
    },
    End {
        connection: u64,
        time: Option<String>,
        direction: &'static str,
        end: &'static str,
        /// Of this direction.
        total_bytes: u64,
        total_messages: u64,
        #[serde(flatten)]
        client: ClientRecord<'a>,
    },
    /// `connection` is null for the sum of all.
    Missed {
        connection: Option<u64>,
        direction: Option<&'static str>,
        missed_messages: u64,
        missed_bytes: u64,
        missed_fds: u64,
        /// Begins and ends, in the sum.
        #[serde(skip_serializing_if = "Option::is_none")]
        missed_events: Option<u64>,
        #[serde(flatten)]
        client: Option<ClientRecord<'a>>,
    },
}

#[derive(Serialize)]
struct ClientRecord<'a> {
    pid: Option<i32>,
    comm: Option<Cow<'a, str>>,
    uid: Option<u32>,
}

/// `SCM_CREDENTIALS` of a message, where they are not those of the client.
#[derive(Serialize)]
struct CredentialsRecord {
    pid: Option<i32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl JsonView {
    pub(super) fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { most }
    }
}

impl TapView for JsonView {
    fn begin(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        begin: &ObservedBegin,
    ) -> io::Result<()> {
        let record = TapRecord::Begin {
            connection: begin.connection,
            time: time(begin.time),
            kind: connection.kind.to_string(),
            client: client(connection),
        };
        json::line(out, &record)
    }

    fn message(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        piece: &ObservedPiece,
    ) -> io::Result<()> {
        let shown = prefix(&piece.bytes, self.most);
        let text = str::from_utf8(shown).ok();
        let sender = connection.client.differs_from(piece.credentials);
        let record = TapRecord::Message {
            connection: piece.connection,
            time: time(piece.time),
            direction: name(piece.direction),
            size: piece.bytes.len(),
            fds: piece.fds.iter().map(ToString::to_string).collect(),
            credentials: sender.map(|peer| CredentialsRecord {
                pid: peer.pid().map(Pid::as_raw_pid),
                uid: peer.uid(),
                gid: peer.gid(),
            }),
            text,
            data: text.is_none().then(|| STANDARD.encode(shown)),
            client: client(connection),
        };
        json::line(out, &record)
    }

    fn end(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        end: &ObservedEnd,
    ) -> io::Result<()> {
        let total = connection.total(end.direction);
        let record = TapRecord::End {
            connection: end.connection,
            time: time(end.time),
            direction: name(end.direction),
            end: match end.end {
                DirectionEnd::Eof => "eof",
                DirectionEnd::Reset => "reset",
                DirectionEnd::ReaderClosed => "reader-closed",
                DirectionEnd::ReaderGone => "reader-gone",
                _ => "aborted",
            },
            total_bytes: total.bytes,
            total_messages: total.messages,
            client: client(connection),
        };
        json::line(out, &record)
    }

    fn missed(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        gap: &ObservedGap,
    ) -> io::Result<()> {
        let record = TapRecord::Missed {
            connection: Some(gap.connection),
            direction: Some(name(gap.direction)),
            missed_messages: gap.pieces,
            missed_bytes: gap.bytes,
            missed_fds: gap.fds,
            missed_events: None,
            client: Some(client(connection)),
        };
        json::line(out, &record)
    }

    fn finish(&mut self, out: &mut Vec<u8>, missed: &TapMissed) -> io::Result<()> {
        if missed.is_nothing() {
            return Ok(());
        }
        let record = TapRecord::Missed {
            connection: None,
            direction: None,
            missed_messages: missed.messages,
            missed_bytes: missed.bytes,
            missed_fds: missed.fds,
            missed_events: Some(missed.events),
            client: None,
        };
        json::line(out, &record)
    }
}

fn name(direction: ObservedDirection) -> &'static str {
    match direction {
        ObservedDirection::ToTarget => "to-server",
        ObservedDirection::ToClient => "to-client",
    }
}

fn time(time: SystemTime) -> Option<String> {
    rfc3339_nanos(time)
}

fn client(connection: &TapConnection) -> ClientRecord<'_> {
    let client = &connection.client;
    ClientRecord {
        pid: client.pid,
        comm: client.command.as_deref().map(String::from_utf8_lossy),
        uid: client.uid,
    }
}
