//! [`Wire`]: what is under way on a connection, from the bytes that are read and written.
//!
//! A server with an accept loop of its own does not tell when a response is over, so that this follows
//! both directions, as they pass. It judges nothing: whoever reads the bytes does.

mod http1;
mod http2;
mod message;

use http1::Http1Wire;
use http2::FrameScan;
pub(super) use http2::Http2Wire;

/// What a client of HTTP/2 sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection, and how far it is.
#[derive(Debug)]
pub(super) enum Wire {
    /// So many bytes have come, all of them like the preface of HTTP/2; a server that takes nothing else
    /// does not wait for it.
    Beginning(usize, FrameScan),
    Http1(Box<Http1Wire>),
    Http2(Box<Http2Wire>),
    /// Another protocol, of which nothing is known.
    Upgraded,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self::Beginning(0, FrameScan::default())
    }

    /// The client has sent this.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        match self {
            Self::Beginning(count, sent) => {
                let rest = &PREFACE[*count..];
                let length = bytes.len().min(rest.len());
                if bytes[..length] != rest[..length] {
                    let mut http1 = Http1Wire::new();
                    http1.receive(&PREFACE[..*count]);
                    http1.receive(bytes);
                    *self = Self::Http1(Box::new(http1));
                } else if length < rest.len() {
                    *count += length;
                } else {
                    let mut http2 = Http2Wire::new(std::mem::take(sent));
                    http2.receive(&bytes[length..]);
                    *self = Self::Http2(Box::new(http2));
                }
            }
            Self::Http1(http1) => http1.receive(bytes),
            Self::Http2(http2) => http2.receive(bytes),
            Self::Upgraded => {}
        }
    }

    /// This was sent to the client.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Http1(http1) => {
                if http1.send(bytes) {
                    *self = Self::Upgraded;
                }
            }
            Self::Http2(http2) => http2.send(bytes),
            Self::Beginning(_, sent) => sent.feed(bytes, |_| {}),
            Self::Upgraded => {}
        }
    }

    /// Whether no request is under way, nor a part of one.
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Beginning(count, _) => *count == 0,
            Self::Http1(http1) => http1.is_between() && http1.is_answered(),
            Self::Http2(http2) => http2.is_idle(),
            Self::Upgraded => false,
        }
    }

    /// Whether nothing that a client may still send belongs to a request that has begun.
    pub(super) fn is_between(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.is_between(),
            _ => self.is_idle(),
        }
    }

    /// Whether the next step is the client's, so that its time counts.
    pub(super) fn waits_for_client(&self) -> bool {
        match self {
            Self::Http2(http2) => http2.is_answered(),
            _ => self.is_idle() || !self.is_between(),
        }
    }

    /// Whether a part of a head has come, or of the preface.
    pub(super) fn is_in_head(&self) -> bool {
        match self {
            Self::Beginning(count, _) => *count > 0,
            Self::Http1(http1) => http1.is_in_head(),
            Self::Http2(_) | Self::Upgraded => false,
        }
    }

    /// A frame that asks the client for no more requests, once, where one can be sent now.
    pub(super) fn take_goaway(&mut self) -> Option<[u8; 17]> {
        match self {
            Self::Http2(http2) => http2.take_goaway(),
            _ => None,
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

#[cfg(test)]
mod tests;
