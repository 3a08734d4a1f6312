//! [`TapConnection`]: what is known of a connection that a tap shows.

use std::time::{Duration, Instant};

use sockeye::relay::{DirectionEnd, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece};
use sockeye::{Kind, Peer, Pid};

use crate::escape;
use crate::output::message::describe;

/// The peer of a connection; `None` is unknown.
#[derive(Debug, Clone, Default)]
pub(crate) struct TapClient {
    pub(crate) pid: Option<i32>,
    pub(crate) command: Option<Vec<u8>>,
    pub(crate) uid: Option<u32>,
    /// The name of the user with this number.
    pub(crate) user: Option<String>,
}

/// A connection, or a sender of datagrams.
#[derive(Debug)]
pub(super) struct TapConnection {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) client: TapClient,
    pub(super) to_server: DirectionTotal,
    pub(super) to_client: DirectionTotal,
    begun: Instant,
    /// When the last message came, or the connection began.
    last: Instant,
    /// Between the last message and the one before it.
    pub(super) since_last: Duration,
    first_answer: FirstAnswer,
}

#[derive(Debug, Default)]
pub(super) struct DirectionTotal {
    pub(super) bytes: u64,
    pub(super) messages: u64,
    pub(super) end: Option<DirectionEnd>,
}

/// From the first message to the server to the first one of the server after it.
#[derive(Debug, Clone, Copy)]
enum FirstAnswer {
    NotAsked,
    AskedAt(Instant),
    After(Duration),
    /// One of both messages was missed.
    Missed,
}

impl TapClient {
    /// `pid 4242 (curl) uid 1000 (user)`
    pub(super) fn describe(&self) -> String {
        let mut text = describe(self.pid, self.command.as_deref(), self.uid);
        if let Some(user) = &self.user {
            text.push_str(&format!(" ({})", escape::name(user.as_bytes())));
        }
        text
    }
}

impl TapClient {
    /// The credentials of a message (`SCM_CREDENTIALS`) where they are not those of the client: whoever
    /// asks for them gets them with each message.
    pub(super) fn differs_from(&self, credentials: Option<Peer>) -> Option<Peer> {
        credentials.filter(|sender| {
            (sender.pid().map(Pid::as_raw_pid), sender.uid()) != (self.pid, self.uid)
        })
    }
}

impl TapConnection {
    pub(super) fn new(number: u64, kind: Kind, client: TapClient, begun: Instant) -> Self {
        Self {
            number,
            kind,
            client,
            to_server: DirectionTotal::default(),
            to_client: DirectionTotal::default(),
            begun,
            last: begun,
            since_last: Duration::ZERO,
            first_answer: FirstAnswer::NotAsked,
        }
    }

    pub(super) fn count(&mut self, piece: &ObservedPiece) {
        let total = self.total_mut(piece.direction);
        total.bytes += piece.bytes.len() as u64;
        total.messages += 1;
        let at = piece.instant;
        self.since_last = at.saturating_duration_since(self.last);
        self.last = at;
        self.first_answer = match (self.first_answer, piece.direction) {
            (FirstAnswer::NotAsked, ObservedDirection::ToTarget) => FirstAnswer::AskedAt(at),
            (FirstAnswer::AskedAt(asked), ObservedDirection::ToClient) => {
                FirstAnswer::After(at.saturating_duration_since(asked))
            }
            (found, _) => found,
        };
    }

    /// Counts what was not seen.
    pub(super) fn skip(&mut self, gap: &ObservedGap) {
        let total = self.total_mut(gap.direction);
        total.bytes += gap.bytes;
        total.messages += gap.pieces;
        if !matches!(self.first_answer, FirstAnswer::After(_)) {
            self.first_answer = FirstAnswer::Missed;
        }
    }

    pub(super) fn end(&mut self, end: &ObservedEnd) {
        self.last = self.last.max(end.instant);
        self.total_mut(end.direction).end = Some(end.end);
    }

    pub(super) fn has_closed(&self) -> bool {
        self.to_server.end.is_some() && self.to_client.end.is_some()
    }

    /// Whether this last end only says that the client, or the server, has closed its connection after
    /// its EOF.
    pub(super) fn is_closed_by_writer(&self, end: &ObservedEnd) -> bool {
        let other = match end.direction {
            ObservedDirection::ToTarget => &self.to_client,
            ObservedDirection::ToClient => &self.to_server,
        };
        end.end == DirectionEnd::ReaderGone && other.end == Some(DirectionEnd::Eof)
    }

    /// Until the last event.
    pub(super) fn duration(&self) -> Duration {
        self.last.saturating_duration_since(self.begun)
    }

    pub(super) fn first_answer(&self) -> Option<Duration> {
        match self.first_answer {
            FirstAnswer::After(duration) => Some(duration),
            _ => None,
        }
    }

    /// Whether there may have been an answer that was not seen.
    pub(super) fn has_missed_answer(&self) -> bool {
        matches!(self.first_answer, FirstAnswer::Missed)
    }

    pub(super) fn total(&self, direction: ObservedDirection) -> &DirectionTotal {
        match direction {
            ObservedDirection::ToTarget => &self.to_server,
            ObservedDirection::ToClient => &self.to_client,
        }
    }

    fn total_mut(&mut self, direction: ObservedDirection) -> &mut DirectionTotal {
        match direction {
            ObservedDirection::ToTarget => &mut self.to_server,
            ObservedDirection::ToClient => &mut self.to_client,
        }
    }
}
