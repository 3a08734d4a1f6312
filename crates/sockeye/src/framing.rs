//! [`Framing`]: where one message ends and the next begins in a stream (lines, length prefixes).
//!
//! ```
//! use bytes::BytesMut;
//! use sockeye::framing::{Codec, Framing};
//! use tokio_util::codec::Decoder;
//!
//! let mut received = BytesMut::from(&b"first\nsec"[..]);
//! let mut codec = Codec::new(Framing::Line, 1 << 20);
//! let message = codec.decode(&mut received)?.expect("a whole line");
//! assert_eq!(message.payload, "first");
//! assert!(codec.decode(&mut received)?.is_none(), "an incomplete one");
//! assert_eq!(&Framing::Length.encode(b"hi")?[..], b"\0\0\0\x02hi");
//! # Ok::<(), sockeye::framing::FramingError>(())
//! ```

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// How messages are delimited in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "length prefix")]
#[doc(alias = "delimiter")]
pub enum Framing {
    /// A message ends at a newline (LF), the last one also at EOF. A payload has none in it. A carriage
    /// return (CR) is a byte like any other: where the peer ends lines with CR LF, the payload ends
    /// with the CR.
    #[default]
    Line,
    /// A message is its length in bytes as a big-endian `u32`, then that many bytes.
    Length,
    /// Each read is a message.
    Raw,
}

/// A decoded message.
///
/// Its payload may be part of a larger read buffer, which stays allocated with it; copy what is to
/// be kept for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The bytes of the message, without newline or length.
    pub payload: Bytes,
    /// Its size in the stream in bytes, newline or length field included.
    pub size: usize,
}

/// Why a stream is not a sequence of messages.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A message is longer than allowed. Its rest is not read.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// The most bytes that a payload may have.
        limit: usize,
    },
    /// A payload that is to be sent as a line has a newline in it: the peer would receive two messages,
    /// the second one of whoever chose the text.
    #[error(
        "a newline at offset {at} of a line, where the peer would begin another message; escape it, or delimit by length"
    )]
    NewlineInLine {
        /// The offset of the first newline in the payload.
        at: usize,
    },
    /// EOF within a message.
    #[error("the input ended after {got} {} of a message", if *got == 1 { "byte" } else { "bytes" })]
    Incomplete {
        /// How many of its bytes were received, its length field included.
        got: usize,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

crate::error_debug::debug_as_display!(FramingError);

impl Framing {
    /// Encodes a message with its newline or length field.
    ///
    /// # Errors
    /// [`FramingError::NewlineInLine`] where a line has a newline in it; [`FramingError::TooLong`] where
    /// a length does not fit into a `u32`.
    pub fn encode(self, payload: &[u8]) -> Result<Bytes, FramingError> {
        let mut wire = BytesMut::new();
        Codec::new(self, usize::MAX).encode(payload, &mut wire)?;
        Ok(wire.freeze())
    }
}

/// The decoder and encoder for a [`Framing`], to be used with [`tokio_util::codec::Framed`] or by
/// [`Messages`](crate::server::Messages).
///
/// It never reserves memory for an announced length.
#[derive(Debug, Clone)]
pub struct Codec {
    framing: Framing,
    limit: usize,
    /// How many leading bytes hold no newline, so that a line that comes byte by byte is not searched
    /// from its start each time.
    searched: usize,
}

const LENGTH: usize = size_of::<u32>();

impl Codec {
    /// A codec for payloads of at most `limit` bytes.
    #[must_use]
    pub fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit,
            searched: 0,
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    fn decode_line(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FramingError> {
        let found = memchr::memchr(b'\n', &input[self.searched..]);
        let end = found.map(|at| self.searched + at);
        if end.unwrap_or(input.len()) > self.limit {
            return Err(self.too_long());
        }
        let Some(end) = end else {
            self.searched = input.len();
            return Ok(None);
        };
        self.searched = 0;
        let mut line = input.split_to(end + 1);
        line.truncate(end);
        Ok(Some(Message {
            payload: line.freeze(),
            size: end + 1,
        }))
    }

    fn decode_length(&self, input: &mut BytesMut) -> Result<Option<Message>, FramingError> {
        let Some(field) = input.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*field) as usize;
        if length > self.limit {
            return Err(self.too_long());
        }
        if input.len() < LENGTH + length {
            return Ok(None);
        }
        let mut frame = input.split_to(LENGTH + length);
        Ok(Some(Message {
            payload: frame.split_off(LENGTH).freeze(),
            size: LENGTH + length,
        }))
    }

    fn too_long(&self) -> FramingError {
        FramingError::TooLong { limit: self.limit }
    }
}

fn all(input: &mut BytesMut) -> Option<Message> {
    (!input.is_empty()).then(|| Message {
        size: input.len(),
        payload: input.split().freeze(),
    })
}

impl Decoder for Codec {
    type Item = Message;
    type Error = FramingError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FramingError> {
        match self.framing {
            Framing::Line => self.decode_line(input),
            Framing::Length => self.decode_length(input),
            Framing::Raw => Ok(all(input)),
        }
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FramingError> {
        match (self.decode(input)?, self.framing) {
            (Some(message), _) => Ok(Some(message)),
            (None, Framing::Length) if !input.is_empty() => {
                Err(FramingError::Incomplete { got: input.len() })
            }
            (None, _) => {
                self.searched = 0;
                Ok(all(input))
            }
        }
    }
}

impl Encoder<&[u8]> for Codec {
    type Error = FramingError;

    fn encode(&mut self, payload: &[u8], wire: &mut BytesMut) -> Result<(), FramingError> {
        if payload.len() > self.limit {
            return Err(self.too_long());
        }
        if self.framing == Framing::Line
            && let Some(at) = memchr::memchr(b'\n', payload)
        {
            return Err(FramingError::NewlineInLine { at });
        }
        wire.reserve(payload.len() + LENGTH);
        if self.framing == Framing::Length {
            let length = u32::try_from(payload.len()).map_err(|_| FramingError::TooLong {
                limit: u32::MAX as usize,
            })?;
            wire.put_u32(length);
        }
        wire.extend_from_slice(payload);
        if self.framing == Framing::Line {
            wire.put_u8(b'\n');
        }
        Ok(())
    }
}

impl Encoder<Bytes> for Codec {
    type Error = FramingError;

    fn encode(&mut self, payload: Bytes, wire: &mut BytesMut) -> Result<(), FramingError> {
        self.encode(&payload[..], wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `wire` in pieces of these sizes and returns the payloads and the sum of their sizes.
    fn decode_all(
        framing: Framing,
        limit: usize,
        wire: &[u8],
        piece: usize,
    ) -> Result<(Vec<Bytes>, usize), FramingError> {
        let mut codec = Codec::new(framing, limit);
        let mut input = BytesMut::new();
        let mut found = Vec::new();
        let mut size = 0;
        let mut take = |message: Message| {
            size += message.size;
            found.push(message.payload);
        };
        for part in wire.chunks(piece) {
            input.extend_from_slice(part);
            while let Some(message) = codec.decode(&mut input)? {
                take(message);
            }
        }
        while let Some(message) = codec.decode_eof(&mut input)? {
            take(message);
        }
        Ok((found, size))
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        let (lines, size) = decode_all(Framing::Line, 10, b"a\n\nbc", 1).unwrap();
        assert_eq!(lines, ["a", "", "bc"]);
        assert_eq!(size, 5);
    }

    #[test]
    fn a_message_of_just_the_limit_passes() {
        for framing in [Framing::Line, Framing::Length] {
            let wire = framing.encode(b"12345").unwrap();
            assert_eq!(decode_all(framing, 5, &wire, 3).unwrap().0, ["12345"]);
            let error = decode_all(framing, 4, &wire, 3).unwrap_err();
            assert!(matches!(error, FramingError::TooLong { limit: 4 }));
        }
    }

    #[test]
    fn a_long_line_is_refused_before_its_newline_comes() {
        let mut input = BytesMut::from(&b"12345"[..]);
        let error = Codec::new(Framing::Line, 4).decode(&mut input).unwrap_err();
        assert!(matches!(error, FramingError::TooLong { limit: 4 }));
    }

    #[test]
    fn a_line_with_a_newline_in_it_is_not_sent() {
        let mut wire = BytesMut::from(&b"before\n"[..]);
        for (payload, found) in [(&b"one\ntwo"[..], 3), (b"\n", 0), (b"one\r\n", 4)] {
            let mut codec = Codec::new(Framing::Line, 100);
            let error = codec.encode(payload, &mut wire).unwrap_err();
            assert!(matches!(error, FramingError::NewlineInLine { at } if at == found));
            assert_eq!(&wire[..], b"before\n");
            for framing in [Framing::Length, Framing::Raw] {
                assert!(framing.encode(payload).is_ok());
            }
        }
    }

    #[test]
    fn a_carriage_return_belongs_to_the_line() {
        let wire = Framing::Line.encode(b"one\r").unwrap();
        assert_eq!(&wire[..], b"one\r\n");
        let (lines, _) = decode_all(Framing::Line, 10, &wire, 1).unwrap();
        assert_eq!(lines, ["one\r"]);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut input = BytesMut::from(&[0, 0x10, 0, 0, 1][..]);
        let before = input.capacity();
        let mut codec = Codec::new(Framing::Length, 1 << 20);
        assert_eq!(codec.decode(&mut input).unwrap(), None);
        assert_eq!(input.capacity(), before);
        let error = codec.decode_eof(&mut input).unwrap_err();
        assert!(matches!(error, FramingError::Incomplete { got: 5 }));
    }

    proptest! {
        #[test]
        fn lines_round_trip(lines in prop::collection::vec("[^\n]{0,40}", 0..8), piece in 1usize..50) {
            let mut wire = Vec::new();
            for line in &lines {
                wire.extend_from_slice(&Framing::Line.encode(line.as_bytes()).unwrap());
            }
            let (found, size) = decode_all(Framing::Line, 1000, &wire, piece).unwrap();
            prop_assert_eq!(size, wire.len());
            prop_assert_eq!(found, lines);
        }

        #[test]
        fn frames_round_trip(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8), piece in 1usize..50) {
            let mut wire = Vec::new();
            for frame in &frames {
                wire.extend_from_slice(&Framing::Length.encode(frame).unwrap());
            }
            let (found, size) = decode_all(Framing::Length, 60, &wire, piece).unwrap();
            prop_assert_eq!(size, wire.len());
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50, limit in 0usize..100) {
            for framing in [Framing::Line, Framing::Length, Framing::Raw] {
                if let Ok((_, size)) = decode_all(framing, limit, &bytes, piece) {
                    prop_assert_eq!(size, bytes.len());
                }
            }
        }
    }
}
