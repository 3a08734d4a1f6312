//! [`Http1Wire`]: requests of HTTP/1 and their responses.

use std::collections::VecDeque;

use super::message::{MessageHead, MessageScan, ScanEvent};
use crate::http::request_scan::ChunkScan;

/// Both directions of a connection.
#[derive(Debug)]
pub(in crate::http) struct Http1Wire {
    requests: MessageScan,
    responses: MessageScan,
    /// Those whose response is not over. There are no more than the server reads ahead.
    unanswered: VecDeque<RequestKind>,
}

/// What decides about the body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    Head,
    Connect,
    Other,
}

impl Http1Wire {
    pub(super) fn new() -> Self {
        Self {
            requests: MessageScan::new(),
            responses: MessageScan::new(),
            unanswered: VecDeque::new(),
        }
    }

    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (length, event) = self.requests.advance(bytes);
            bytes = &bytes[length..];
            if let Some(ScanEvent::Head(head)) = event {
                self.unanswered.push_back(RequestKind::of(&head));
                self.requests.expect(match head.length {
                    _ if head.is_chunked => chunks(),
                    length => MessageScan::Body(length.unwrap_or(0)),
                });
            }
        }
    }

    /// Returns whether another protocol begins.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (length, event) = self.responses.advance(bytes);
            bytes = &bytes[length..];
            let is_over = match event {
                None => false,
                Some(ScanEvent::End) => true,
                Some(ScanEvent::Head(head)) => {
                    let asked = self.unanswered.front().copied();
                    match ResponseKind::of(&head, asked) {
                        ResponseKind::Interim => false,
                        ResponseKind::Upgrade => return true,
                        ResponseKind::Final(body) => self.responses.expect(body),
                    }
                }
            };
            if is_over {
                self.unanswered.pop_front();
            }
        }
        false
    }

    pub(super) fn is_between(&self) -> bool {
        self.requests.is_between()
    }

    pub(super) fn is_in_head(&self) -> bool {
        self.requests.is_in_head()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.unanswered.is_empty()
    }
}

impl RequestKind {
    fn of(head: &MessageHead) -> Self {
        if head.start.starts_with(b"HEAD ") {
            Self::Head
        } else if head.start.starts_with(b"CONNECT ") {
            Self::Connect
        } else {
            Self::Other
        }
    }
}

enum ResponseKind {
    /// Another one follows for the same request (1xx).
    Interim,
    /// The connection speaks another protocol from here on.
    Upgrade,
    Final(MessageScan),
}

impl ResponseKind {
    fn of(head: &MessageHead, asked: Option<RequestKind>) -> Self {
        // "HTTP/1.1 200 OK"
        let status = head.start.get(9..12).unwrap_or_default();
        let is_connected = asked == Some(RequestKind::Connect) && status.starts_with(b"2");
        if status == b"101" || is_connected {
            return Self::Upgrade;
        }
        if status.starts_with(b"1") {
            return Self::Interim;
        }
        let is_bodiless = asked == Some(RequestKind::Head) || matches!(status, b"204" | b"304");
        Self::Final(match head.length {
            _ if is_bodiless => MessageScan::Body(0),
            _ if head.is_chunked => chunks(),
            Some(length) => MessageScan::Body(length),
            None => MessageScan::UntilClose,
        })
    }
}

fn chunks() -> MessageScan {
    MessageScan::Chunked(ChunkScan::Size(0))
}
