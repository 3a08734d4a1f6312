//! [`RequestScan`]: where a request of HTTP/1 ends, in the bytes of a connection.

use memchr::memchr_iter;

use super::exchanges::RequestBodyLength;

/// Follows the requests of a connection, so that hyper gets no byte of the next one before it has
/// answered, and its buffers are empty then. It does not judge what it reads: hyper does.
#[derive(Debug)]
pub(super) enum RequestScan {
    Head(HeadScan),
    /// What follows the head is not known before hyper has parsed it.
    HeadEnd,
    /// How much of the body is left.
    Body(u64),
    Chunked(ChunkScan),
}

impl RequestScan {
    pub(super) fn new() -> Self {
        Self::Head(HeadScan::Leading)
    }

    /// Whether it is between two requests.
    pub(super) fn is_between(&self) -> bool {
        matches!(self, Self::Head(HeadScan::Leading | HeadScan::Empty))
    }

    /// Whether the head of a request has begun, be it with an empty line, and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self, Self::Head(scan) if *scan != HeadScan::Leading)
    }

    /// hyper has parsed a head.
    pub(super) fn begin(&mut self, body: RequestBodyLength) {
        *self = match body {
            RequestBodyLength::Known(0) => Self::new(),
            RequestBodyLength::Known(length) => Self::Body(length),
            RequestBodyLength::Chunked => Self::Chunked(ChunkScan::Size(0)),
        };
    }

    /// How many bytes may be received at once: of a body, no more than there is of it.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Body(left) => at_most(*left),
            _ => usize::MAX,
        }
    }

    /// Goes on by `bytes`; returns how many of them belong to this request.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Head(scan) => match scan.feed(bytes) {
                None => bytes.len(),
                Some(length) => {
                    *self = Self::HeadEnd;
                    length
                }
            },
            // hyper wants more, though this looked like the end.
            Self::HeadEnd => {
                *self = Self::Head(HeadScan::Blank);
                self.feed(bytes)
            }
            Self::Body(left) => {
                let length = bytes.len().min(at_most(*left));
                *left -= length as u64;
                if *left == 0 {
                    *self = Self::new();
                }
                length
            }
            Self::Chunked(scan) => match scan.feed(bytes) {
                None => bytes.len(),
                Some(length) => {
                    *self = Self::new();
                    length
                }
            },
        }
    }
}

/// The line of a head that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadScan {
    /// Nothing yet.
    Leading,
    /// Nothing but empty lines, which are skipped.
    Empty,
    Blank,
    /// A carriage return, and nothing else.
    Return,
    Text,
}

impl HeadScan {
    /// Returns how many of `bytes` belong to the head, if it ends in them.
    fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let is_empty = self.line(&bytes[start..end]);
            start = end + 1;
            let is_leading = matches!(self, Self::Leading | Self::Empty);
            if is_empty && !is_leading {
                return Some(start);
            }
            *self = if is_leading { Self::Empty } else { Self::Blank };
        }
        self.line(&bytes[start..]);
        None
    }

    /// Goes on by a part of a line; whether all of that line is empty.
    fn line(&mut self, part: &[u8]) -> bool {
        *self = match (*self, part) {
            (state, []) => state,
            (Self::Leading | Self::Empty, b"\r") => Self::Empty,
            (Self::Blank, b"\r") => Self::Return,
            _ => Self::Text,
        };
        *self != Self::Text
    }
}

/// The part of a chunked body that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkScan {
    Size(u64),
    /// The rest of the line that begins with the size.
    Extension(u64),
    Data(u64),
    DataEnd,
    /// The lines behind the last chunk.
    Trailer(HeadScan),
}

impl ChunkScan {
    /// Returns how many of `bytes` belong to the body, if it ends in them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Trailer(lines) => return Some(at + lines.feed(&bytes[at..])?),
                Self::Data(left) => {
                    let length = (bytes.len() - at).min(at_most(*left));
                    at += length;
                    *left -= length as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                }
                _ => {
                    *self = self.after(bytes[at]);
                    at += 1;
                }
            }
        }
        None
    }

    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(0) | Self::Extension(0), b'\n') => Self::Trailer(HeadScan::Blank),
            (Self::Size(size) | Self::Extension(size), b'\n') => Self::Data(size),
            (Self::Size(size), _) => match char::from(byte).to_digit(16) {
                Some(digit) => Self::Size(size.saturating_mul(16).saturating_add(digit.into())),
                None => Self::Extension(size),
            },
            (Self::DataEnd, b'\n') => Self::Size(0),
            (state, _) => state,
        }
    }
}

fn at_most(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
