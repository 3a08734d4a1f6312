//! What `sockeye tap` shows of the traffic: the events of an observer as lines of text or JSON.

mod connection;
mod hex;
mod http;
mod json;
mod style;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use sockeye::Kind;
use sockeye::relay::{ObservedBegin, ObservedEnd, ObservedGap, ObservedPiece};

pub(crate) use connection::TapClient;
pub(crate) use style::TapStyle;

use connection::TapConnection;
use http::HttpView;
use json::JsonView;
use summary::SummaryView;
use text::{MessageBody, TextView};

/// Connections whose state is kept; over it, those that began first are forgotten.
const MOST_CONNECTIONS: usize = 4096;

/// The events of an observer as lines in a buffer.
pub(crate) struct TapDisplay {
    view: Box<dyn TapView>,
    connections: BTreeMap<u64, TapConnection>,
    missed: TapMissed,
    lines: Vec<u8>,
}

/// What was passed on without being shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TapMissed {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) fds: u64,
    /// Begins and ends of connections.
    pub(crate) events: u64,
}

/// A way to show events. Each method appends lines; writing to a `Vec` cannot fail.
trait TapView: Send {
    fn begin(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        begin: &ObservedBegin,
    ) -> io::Result<()>;

    /// The connection counts the message already.
    fn message(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        piece: &ObservedPiece,
    ) -> io::Result<()>;

    /// A direction has ended; both have, where the connection has closed.
    fn end(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        end: &ObservedEnd,
    ) -> io::Result<()>;

    fn missed(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        gap: &ObservedGap,
    ) -> io::Result<()>;

    /// Forgets a connection that has closed, or one of too many.
    fn forget(&mut self, connection: u64) {
        let _ = connection;
    }

    /// The tap has ended.
    fn finish(&mut self, out: &mut Vec<u8>, missed: &TapMissed) -> io::Result<()>;
}

impl TapDisplay {
    /// Shows at most `most` bytes of a message, as all that have this parameter.
    pub(crate) fn text(style: TapStyle, most: u64) -> Self {
        Self::new(TextView::new(style, MessageBody::Text, most))
    }

    pub(crate) fn hex(style: TapStyle, most: u64) -> Self {
        Self::new(TextView::new(style, MessageBody::Hex, most))
    }

    pub(crate) fn json(most: u64) -> Self {
        Self::new(JsonView::new(most))
    }

    pub(crate) fn http(style: TapStyle) -> Self {
        Self::new(HttpView::new(style))
    }

    pub(crate) fn summary(style: TapStyle) -> Self {
        Self::new(SummaryView::new(style))
    }

    fn new(view: impl TapView + 'static) -> Self {
        Self {
            view: Box::new(view),
            connections: BTreeMap::new(),
            missed: TapMissed::default(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, begin: &ObservedBegin, client: TapClient) {
        let (number, kind, at) = (begin.connection, begin.kind, begin.instant);
        let connection = TapConnection::new(number, kind, client, at);
        self.connections.insert(number, connection);
        self.forget_oldest();
        self.show(number, |view, out, connection| {
            view.begin(out, connection, begin)
        });
    }

    pub(crate) fn message(&mut self, piece: &ObservedPiece) {
        self.connection(piece.connection, piece.instant)
            .count(piece);
        self.show(piece.connection, |view, out, connection| {
            view.message(out, connection, piece)
        });
    }

    pub(crate) fn end(&mut self, end: &ObservedEnd) {
        let connection = self.connection(end.connection, end.instant);
        connection.end(end);
        let has_closed = connection.has_closed();
        self.show(end.connection, |view, out, connection| {
            view.end(out, connection, end)
        });
        if has_closed {
            self.connections.remove(&end.connection);
            self.view.forget(end.connection);
        }
    }

    pub(crate) fn missed(&mut self, gap: &ObservedGap) {
        self.missed.messages += gap.pieces;
        self.missed.bytes += gap.bytes;
        self.missed.fds += gap.fds;
        self.connection(gap.connection, Instant::now()).skip(gap);
        self.show(gap.connection, |view, out, connection| {
            view.missed(out, connection, gap)
        });
    }

    /// The last lines. `missed`: what was not shown in all, where more is known than [`missed`](Self::missed)
    /// was told.
    pub(crate) fn finish(&mut self, missed: TapMissed) {
        let missed = TapMissed {
            messages: self.missed.messages.max(missed.messages),
            bytes: self.missed.bytes.max(missed.bytes),
            fds: self.missed.fds.max(missed.fds),
            events: missed.events,
        };
        // Writing to a Vec cannot fail.
        let _ = self.view.finish(&mut self.lines, &missed);
    }

    /// The lines that are not written yet.
    pub(crate) fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    /// One whose begin was missed is not known.
    fn connection(&mut self, number: u64, at: Instant) -> &mut TapConnection {
        if !self.connections.contains_key(&number) {
            self.forget_oldest();
        }
        self.connections
            .entry(number)
            .or_insert_with(|| TapConnection::new(number, Kind::Stream, TapClient::default(), at))
    }

    fn show(
        &mut self,
        number: u64,
        write: impl FnOnce(&mut dyn TapView, &mut Vec<u8>, &TapConnection) -> io::Result<()>,
    ) {
        if let Some(connection) = self.connections.get(&number) {
            // Writing to a Vec cannot fail.
            let _ = write(&mut *self.view, &mut self.lines, connection);
        }
    }

    fn forget_oldest(&mut self) {
        while self.connections.len() > MOST_CONNECTIONS
            && let Some((number, _)) = self.connections.pop_first()
        {
            self.view.forget(number);
        }
    }
}

impl TapMissed {
    /// `12 messages (34567 bytes, 2 fds)`
    fn describe(&self) -> String {
        let messages = match self.messages {
            1 => "1 message".to_owned(),
            messages => format!("{messages} messages"),
        };
        let fds = match self.fds {
            0 => String::new(),
            1 => ", 1 fd".to_owned(),
            fds => format!(", {fds} fds"),
        };
        format!("{messages} ({}{fds})", bytes(self.bytes))
    }

    fn is_nothing(&self) -> bool {
        self.messages == 0 && self.events == 0
    }

    /// The last line of a display, if anything was missed.
    fn tell(&self, out: &mut Vec<u8>, style: &TapStyle) -> io::Result<()> {
        if self.is_nothing() {
            return Ok(());
        }
        let mut text = format!("not shown: {}", self.describe());
        if self.events > 0 {
            text.push_str(&format!(", {} begins and ends", self.events));
        }
        text.push_str("; the display was too slow");
        writeln!(out, "{}", style.warning(&text))
    }
}

impl From<&ObservedGap> for TapMissed {
    fn from(gap: &ObservedGap) -> Self {
        Self {
            messages: gap.pieces,
            bytes: gap.bytes,
            fds: gap.fds,
            events: 0,
        }
    }
}

/// `1 byte`, `2 bytes`
fn bytes(count: u64) -> String {
    match count {
        1 => "1 byte".to_owned(),
        _ => format!("{count} bytes"),
    }
}
