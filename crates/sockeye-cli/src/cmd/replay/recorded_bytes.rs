//! [`RecordedBytes`]: what one side of a recorded connection has sent, in order.

use std::io;
use std::sync::Arc;

use sockeye::capture::{RecordedLocation, RecordedPart, Recording};
use sockeye::relay::ObservedDirection;

/// Reads one direction of a connection from its beginning, a piece at a time. Of records each is one
/// piece with its length in front ([`framed`]), so that they compare as bytes do.
pub(super) struct RecordedBytes {
    recording: Arc<Recording>,
    connection: usize,
    direction: ObservedDirection,
    next_event: usize,
    piece: Vec<u8>,
    read: usize,
}

impl RecordedBytes {
    pub(super) fn new(
        recording: &Arc<Recording>,
        connection: usize,
        direction: ObservedDirection,
    ) -> Self {
        Self {
            recording: Arc::clone(recording),
            connection,
            direction,
            next_event: 0,
            piece: Vec::new(),
            read: 0,
        }
    }

    /// What is left of the current piece, or the next one; empty at the end.
    pub(super) fn piece(&mut self) -> io::Result<&[u8]> {
        while self.read == self.piece.len() {
            let events = self.recording.connections()[self.connection].events();
            let Some(event) = events.get(self.next_event) else {
                break;
            };
            self.next_event += 1;
            if event.direction != self.direction {
                continue;
            }
            self.piece = match &event.what {
                RecordedPart::Bytes(location) => self.recording.read(location)?,
                RecordedPart::Record(location) => framed(&self.recording.read(location)?),
                _ => continue,
            };
            self.read = 0;
        }
        Ok(&self.piece[self.read..])
    }

    /// Goes on behind `count` bytes of the current piece.
    pub(super) fn consume(&mut self, count: usize) {
        self.read += count;
    }

    /// Goes on behind `count` bytes.
    pub(super) fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let piece = self.piece()?.len() as u64;
            if piece == 0 {
                break;
            }
            let skipped = piece.min(count);
            self.read += skipped as usize;
            count -= skipped;
        }
        Ok(())
    }

    /// Compares, and goes on behind what is equal: how many bytes that is.
    pub(super) fn consume_equal(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let piece = self.piece()?;
            let equal = common_prefix(piece, bytes);
            let is_different = equal < piece.len().min(bytes.len()) || piece.is_empty();
            self.read += equal;
            bytes = &bytes[equal..];
            if is_different {
                break;
            }
        }
        Ok(whole - bytes.len())
    }

    /// Up to `most` of the bytes that come next; the position stays.
    pub(super) fn peek(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let (event, read, piece) = (self.next_event, self.read, self.piece.clone());
        let mut found = Vec::new();
        while found.len() < most {
            let next = self.piece()?;
            if next.is_empty() {
                break;
            }
            let taken = next.len().min(most - found.len());
            found.extend_from_slice(&next[..taken]);
            self.consume(taken);
        }
        (self.next_event, self.read, self.piece) = (event, read, piece);
        Ok(found)
    }
}

/// A record with its length in front.
pub(super) fn framed(record: &[u8]) -> Vec<u8> {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), record].concat()
}

/// How many bytes [`framed`] makes of a record.
pub(super) fn framed_len(location: &RecordedLocation) -> u64 {
    size_of::<u32>() as u64 + location.len() as u64
}

/// How many bytes at the beginning are equal.
pub(super) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let shorter = one.len().min(other.len());
    let (one, other) = (&one[..shorter], &other[..shorter]);
    if one == other {
        return shorter;
    }
    let differs = |(one, other): (&u8, &u8)| one != other;
    let found = one.iter().zip(other).position(differs);
    found.unwrap_or(shorter)
}
