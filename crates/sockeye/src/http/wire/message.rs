//! [`MessageScan`]: where messages of HTTP/1 end, in the bytes of one direction.

use memchr::memchr;

use crate::http::request_scan::ChunkScan;

/// So much of a line is looked at.
const LINE: usize = 256;

/// Follows the messages of one direction. After each head it has to be told what follows
/// ([`Self::expect`]).
#[derive(Debug)]
pub(super) enum MessageScan {
    Head(MessageHead),
    Body(u64),
    Chunked(ChunkScan),
    UntilClose,
}

/// What a head says of itself and of the body behind it.
#[derive(Debug, Default)]
pub(super) struct MessageHead {
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// Whether anything has come, an empty line perhaps.
    has_begun: bool,
    /// The beginning of the first line; empty before that has ended.
    pub(super) start: Vec<u8>,
    pub(super) length: Option<u64>,
    pub(super) is_chunked: bool,
}

/// What ends in the bytes that were looked at.
#[derive(Debug)]
pub(super) enum ScanEvent {
    Head(MessageHead),
    End,
}

impl MessageScan {
    pub(super) fn new() -> Self {
        Self::Head(MessageHead::default())
    }

    pub(super) fn is_between(&self) -> bool {
        matches!(self, Self::Head(head) if head.is_empty())
    }

    pub(super) fn is_in_head(&self) -> bool {
        matches!(self, Self::Head(head) if head.has_begun)
    }

    /// What follows a head. Returns whether the message ends with it.
    pub(super) fn expect(&mut self, body: Self) -> bool {
        let is_over = matches!(body, Self::Body(0));
        *self = if is_over { Self::new() } else { body };
        is_over
    }

    /// Goes on up to the next event; returns how many bytes that takes.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Option<ScanEvent>) {
        match self {
            Self::Head(head) => match head.feed(bytes) {
                Some(length) => (length, Some(ScanEvent::Head(std::mem::take(head)))),
                None => (bytes.len(), None),
            },
            Self::Body(left) => {
                let length = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                (length, (*left == 0).then(|| self.end()))
            }
            Self::Chunked(chunks) => match chunks.feed(bytes) {
                Some(length) => (length, Some(self.end())),
                None => (bytes.len(), None),
            },
            Self::UntilClose => (bytes.len(), None),
        }
    }

    fn end(&mut self) -> ScanEvent {
        *self = Self::new();
        ScanEvent::End
    }
}

impl MessageHead {
    fn is_empty(&self) -> bool {
        self.line.is_empty() && self.start.is_empty()
    }

    /// Returns how many of `bytes` belong to the head, if it ends in them.
    fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        self.has_begun |= !bytes.is_empty();
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.keep(&rest[..end]);
            rest = &rest[end + 1..];
            if self.end_line() {
                return Some(bytes.len() - rest.len());
            }
        }
        self.keep(rest);
        None
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Whether the head ends with this line.
    fn end_line(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if line.is_empty() {
            self.line.clear();
            // Empty lines before a message are skipped.
            return !self.start.is_empty();
        }
        if self.start.is_empty() {
            self.start = std::mem::take(&mut self.line);
            return false;
        }
        let mut parts = line.splitn(2, |&byte| byte == b':');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                self.length = str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                self.is_chunked = value.to_ascii_lowercase().ends_with(b"chunked");
            }
        }
        self.line.clear();
        false
    }
}
