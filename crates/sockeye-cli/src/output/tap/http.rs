//! [`HttpView`]: a line for each HTTP/1 request and response.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

use sockeye::relay::{
    DirectionEnd, ObservedBegin, ObservedDirection, ObservedEnd, ObservedGap, ObservedPiece,
};

use super::connection::TapConnection;
use super::style::{TapStyle, brief};
use super::text::{tell_begin, tell_end, tell_gap};
use super::{TapMissed, TapView, bytes};
use crate::escape;
use crate::output::http::{HttpConnection, HttpEvent, HttpProblem, HttpRequest, HttpResponse};

/// Bytes that are held for all connections together: beginnings of heads, and requests without a
/// response.
const MOST_HELD: usize = 32 << 20;

/// A line for each HTTP/1 request and response.
pub(super) struct HttpView {
    style: TapStyle,
    connections: BTreeMap<u64, HttpConnection>,
    /// Of all connections.
    held: usize,
}

impl HttpView {
    pub(super) fn new(style: TapStyle) -> Self {
        Self {
            style,
            connections: BTreeMap::new(),
            held: 0,
        }
    }

    /// Lets a connection read more, and counts what it holds.
    fn read(
        &mut self,
        (out, number, time): (&mut Vec<u8>, u64, SystemTime),
        read: impl FnOnce(&mut HttpConnection, &mut dyn FnMut(HttpEvent<'_>)),
    ) -> io::Result<()> {
        let connection = self.connections.entry(number);
        let connection = connection.or_insert_with(HttpConnection::new);
        let mut result = Ok(());
        let mut tell = |event: HttpEvent<'_>| {
            // The first error counts.
            let told = tell(out, &self.style, (number, time), &event);
            result = std::mem::replace(&mut result, Ok(())).and(told);
        };
        let before = connection.held();
        read(connection, &mut tell);
        let held = self.held.saturating_sub(before) + connection.held();
        if held > MOST_HELD {
            connection.give_up();
            tell(HttpEvent::Problem(
                ObservedDirection::ToTarget,
                HttpProblem::NoMemory,
            ));
            self.held = self.held.saturating_sub(before);
        } else {
            self.held = held;
        }
        result
    }
}

impl TapView for HttpView {
    fn begin(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        begin: &ObservedBegin,
    ) -> io::Result<()> {
        tell_begin(out, &self.style, connection, begin)
    }

    fn message(
        &mut self,
        out: &mut Vec<u8>,
        _: &TapConnection,
        piece: &ObservedPiece,
    ) -> io::Result<()> {
        self.read((out, piece.connection, piece.time), |connection, sink| {
            connection.feed(piece.direction, &piece.bytes, piece.instant, sink);
        })
    }

    fn end(
        &mut self,
        out: &mut Vec<u8>,
        connection: &TapConnection,
        end: &ObservedEnd,
    ) -> io::Result<()> {
        let is_eof = end.end == DirectionEnd::Eof;
        self.read((out, end.connection, end.time), |connection, sink| {
            connection.end(end.direction, is_eof, end.instant, sink);
        })?;
        // The lines of the responses say the rest.
        let found = self.connections.get(&end.connection);
        let is_silent = found.is_some_and(HttpConnection::is_silent);
        let is_clean = is_eof || connection.is_closed_by_writer(end);
        if !is_clean || (is_silent && connection.has_closed()) {
            tell_end(out, &self.style, connection, end)?;
        }
        Ok(())
    }

    fn missed(
        &mut self,
        out: &mut Vec<u8>,
        _: &TapConnection,
        gap: &ObservedGap,
    ) -> io::Result<()> {
        if let Some(connection) = self.connections.get_mut(&gap.connection) {
            let before = connection.held();
            connection.skip(gap.direction, gap.bytes);
            self.held = self.held.saturating_sub(before) + connection.held();
        }
        tell_gap(out, &self.style, gap)
    }

    fn forget(&mut self, connection: u64) {
        if let Some(connection) = self.connections.remove(&connection) {
            self.held = self.held.saturating_sub(connection.held());
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>, missed: &TapMissed) -> io::Result<()> {
        missed.tell(out, &self.style)
    }
}

fn tell(
    out: &mut Vec<u8>,
    style: &TapStyle,
    (number, time): (u64, SystemTime),
    event: &HttpEvent<'_>,
) -> io::Result<()> {
    style.start(out, Some(time), number)?;
    let (to_server, to_client) = (
        style.arrow(ObservedDirection::ToTarget),
        style.arrow(ObservedDirection::ToClient),
    );
    match event {
        HttpEvent::Request(request) => {
            writeln!(out, "{to_server} {}", request_line(request))
        }
        HttpEvent::Interim { status, reason } => {
            writeln!(out, "{to_client} {}", status_line(style, *status, reason))
        }
        HttpEvent::Response(response) => {
            writeln!(out, "{to_client} {}", response_line(style, response))
        }
        HttpEvent::Unanswered { request, waited } => {
            let none = format!(
                "no response in {}, the connection has ended",
                brief(*waited)
            );
            let none = style.error(&none);
            writeln!(out, "{to_client} {none}: {}", subject(request))
        }
        HttpEvent::Upgraded(protocol) => {
            let protocol = escape::bytes(protocol.as_bytes());
            let text = format!("changed to {protocol}: nothing more is shown of this connection");
            writeln!(out, "{}", style.dim(&text))
        }
        HttpEvent::Problem(direction, problem) => {
            let arrow = style.arrow(*direction);
            writeln!(out, "{arrow} {}", style.warning(&explain(*problem)))
        }
        HttpEvent::Truncated(direction) => {
            let arrow = style.arrow(*direction);
            let text = "the connection has ended within the head of a message";
            writeln!(out, "{arrow} {}", style.error(text))
        }
    }
}

/// `POST /images/create, 12 bytes`
fn request_line(request: &HttpRequest) -> String {
    let mut line = subject(request);
    if request.minor == 0 {
        line.push_str(" HTTP/1.0");
    }
    match request.size {
        Some(0) => {}
        Some(size) => line.push_str(&format!(", {}", bytes(size))),
        None => line.push_str(", in chunks"),
    }
    line
}

/// `200 OK, 1256 bytes in 409us (first byte 300us): GET /`
fn response_line(style: &TapStyle, response: &HttpResponse) -> String {
    let mut line = status_line(style, response.status, &response.reason);
    let (size, is_complete) = (response.size, response.is_complete);
    match response.promised.filter(|_| !is_complete) {
        Some(promised) => line.push_str(&format!(", {size} of {}", bytes(promised))),
        None => line.push_str(&format!(", {}", bytes(size))),
    }
    if let (Some(latency), Some(total)) = (response.latency, response.total) {
        let (first, all) = (brief(latency), brief(total));
        line.push_str(&format!(" in {all}"));
        if first != all {
            line.push_str(&format!(" (first byte {first})"));
        }
    }
    if !is_complete {
        let text = style.error("the connection has ended");
        line.push_str(&format!(", {text}"));
    }
    let of = match &response.request {
        Some(request) => style.dim(&subject(request)),
        None => style.warning("the request was not seen"),
    };
    line.push_str(&format!(": {of}"));
    line
}

fn status_line(style: &TapStyle, status: u16, reason: &str) -> String {
    let text = format!("{status} {}", escape::bytes(reason.as_bytes()));
    style.status(status, text.trim_end())
}

fn subject(request: &HttpRequest) -> String {
    let (method, target) = (request.method.as_bytes(), request.target.as_bytes());
    format!("{} {}", escape::bytes(method), escape::bytes(target))
}

fn explain(problem: HttpProblem) -> String {
    let found = match problem {
        HttpProblem::Http2 => {
            return "HTTP/2: not shown here; --record FILE it, and open FILE in Wireshark"
                .to_owned();
        }
        HttpProblem::Syntax => "not HTTP/1",
        HttpProblem::Length => "a contradictory or malformed Content-Length",
        HttpProblem::Chunk => "a malformed chunk",
        HttpProblem::HeadTooLong => "a head of more than 32 KiB",
        HttpProblem::TooManyFields => "a head of more than 128 fields",
        HttpProblem::TooManyRequests => "more than 128 requests without a response",
        HttpProblem::TooMuchHeld => "too much sent before the response to an upgrade",
        HttpProblem::NoMemory => "too many unfinished requests of all connections",
    };
    format!("{found}: not shown any more; --text and --hex show it")
}
