//! HTTP/1 (RFC 9112) as a tap sees it: requests in the bytes of one direction, responses in those of the
//! other one. Whatever the pieces are in which the bytes come, the events are the same.
//!
//! This module names nothing else of the command: a fuzz target compiles it as it stands.

mod body;
mod connection;
mod head;
mod response_reader;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use sockeye::relay::ObservedDirection;

pub(crate) use connection::HttpConnection;
pub(crate) use response_reader::HttpResponseReader;

/// What was found on a connection.
#[derive(Debug)]
pub(crate) enum HttpEvent<'a> {
    /// The head of a request.
    Request(&'a HttpRequest),
    /// An interim response (1xx), which another one follows.
    Interim { status: u16, reason: String },
    /// A response is complete, or nothing more of it comes.
    Response(&'a HttpResponse),
    /// The connection has ended before the response.
    Unanswered {
        request: &'a HttpRequest,
        waited: Duration,
    },
    /// From here on the bytes are those of another protocol, or of a tunnel.
    Upgraded(String),
    /// From here on nothing is shown of the connection.
    Problem(ObservedDirection, HttpProblem),
    /// A direction has ended within the head of a message.
    Truncated(ObservedDirection),
}

/// A request whose head was read.
#[derive(Debug, Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Of HTTP/1.
    pub(crate) minor: u8,
    /// The length of its body; `None` if it comes in chunks.
    pub(crate) size: Option<u64>,
    asks_for_upgrade: bool,
    /// The position among the requests of the connection.
    number: u64,
    /// When the last byte was read so far: of the head, then of the body.
    sent: Instant,
}

/// A response, at its end.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// The bytes of its body, without what frames chunks.
    pub(crate) size: u64,
    /// The length that its head has promised, where less has come.
    pub(crate) promised: Option<u64>,
    pub(crate) is_complete: bool,
    /// None where the request was not seen.
    pub(crate) request: Option<HttpRequest>,
    /// From the end of the request to the first byte of the response.
    pub(crate) latency: Option<Duration>,
    /// From the end of the request to the last byte of the response.
    pub(crate) total: Option<Duration>,
}

/// Why a connection cannot be shown as HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpProblem {
    Syntax,
    Http2,
    /// Contradictory or malformed `Content-Length`.
    Length,
    Chunk,
    HeadTooLong,
    TooManyFields,
    /// Too many requests without a response.
    TooManyRequests,
    /// Too much came behind a request for an upgrade, before its response.
    TooMuchHeld,
    /// Too much is held for all connections together.
    NoMemory,
}
