//! [`HttpBody`]: where the body of a message ends (RFC 9112, section 6).

/// The longest line of a chunk's size with its extensions, and of all trailers together.
const LINE: usize = 16 << 10;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum HttpBody {
    /// So many bytes.
    Length(u64),
    Chunked(ChunkedBody),
    UntilEof,
}

/// A body in chunks is malformed.
#[derive(Debug)]
pub(super) struct BadChunk;

#[derive(Debug, Default)]
pub(super) struct ChunkedBody {
    at: ChunkPlace,
    /// Of the chunk that is being read.
    size: u64,
    /// Bytes of the line or the trailers that is being read.
    line: usize,
}

/// What the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkPlace {
    #[default]
    Size,
    Extension,
    Data,
    /// The newline after the data.
    DataEnd,
    TrailerStart,
    /// After the carriage return of what may be the last line.
    LastLine,
    Trailer,
}

impl HttpBody {
    /// Takes the bytes that belong to the body off the front, adds those of its content to `size`, and
    /// returns whether the body is complete.
    pub(super) fn take(&mut self, bytes: &mut &[u8], size: &mut u64) -> Result<bool, BadChunk> {
        match self {
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *bytes = &bytes[taken..];
                *left -= taken as u64;
                *size += taken as u64;
                Ok(*left == 0)
            }
            Self::Chunked(body) => body.take(bytes, size),
            Self::UntilEof => {
                *size += bytes.len() as u64;
                *bytes = &[];
                Ok(false)
            }
        }
    }

    /// Counts bytes that were not seen; `false` where the end of the body may be among them.
    pub(super) fn skip(&mut self, bytes: u64, size: &mut u64) -> bool {
        match self {
            Self::Length(left) if *left > bytes => *left -= bytes,
            Self::UntilEof => {}
            Self::Length(_) | Self::Chunked(_) => return false,
        }
        *size += bytes;
        true
    }
}

impl ChunkedBody {
    fn take(&mut self, bytes: &mut &[u8], size: &mut u64) -> Result<bool, BadChunk> {
        while let [first, rest @ ..] = *bytes {
            if self.at == ChunkPlace::Data {
                let taken = bytes
                    .len()
                    .min(usize::try_from(self.size).unwrap_or(usize::MAX));
                *bytes = &bytes[taken..];
                self.size -= taken as u64;
                *size = size.saturating_add(taken as u64);
                if self.size == 0 {
                    self.go_to(ChunkPlace::DataEnd);
                }
                continue;
            }
            *bytes = rest;
            self.line += 1;
            if self.line > LINE {
                return Err(BadChunk);
            }
            if self.step(*first)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a byte that is not data; `true` after the last one.
    fn step(&mut self, byte: u8) -> Result<bool, BadChunk> {
        match (self.at, byte) {
            (ChunkPlace::Size, digit) if digit.is_ascii_hexdigit() => {
                let value = char::from(digit).to_digit(16).map_or(0, u64::from);
                let shifted = self.size.checked_mul(16).ok_or(BadChunk)?;
                self.size = shifted + value;
            }
            (ChunkPlace::Size, _) if self.line == 1 => return Err(BadChunk),
            (ChunkPlace::Size | ChunkPlace::Extension, b'\n') => {
                let is_last = self.size == 0;
                self.go_to(if is_last {
                    ChunkPlace::TrailerStart
                } else {
                    ChunkPlace::Data
                });
            }
            (ChunkPlace::Size, b'\r' | b';' | b' ' | b'\t') => self.at = ChunkPlace::Extension,
            (ChunkPlace::Extension, _) => {}
            (ChunkPlace::DataEnd, b'\r') if self.line == 1 => {}
            (ChunkPlace::DataEnd, b'\n') => self.go_to(ChunkPlace::Size),
            (ChunkPlace::TrailerStart, b'\r') => self.at = ChunkPlace::LastLine,
            (ChunkPlace::TrailerStart | ChunkPlace::LastLine, b'\n') => return Ok(true),
            (ChunkPlace::TrailerStart, _) => self.at = ChunkPlace::Trailer,
            // The trailers count together.
            (ChunkPlace::Trailer, b'\n') => self.at = ChunkPlace::TrailerStart,
            (ChunkPlace::Trailer, _) => {}
            _ => return Err(BadChunk),
        }
        Ok(false)
    }

    fn go_to(&mut self, place: ChunkPlace) {
        self.at = place;
        self.line = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the content and what comes after the body, or `None` before its end.
    fn read(text: &[u8]) -> Result<(u64, Option<&[u8]>), BadChunk> {
        let (mut body, mut size) = (HttpBody::Chunked(ChunkedBody::default()), 0);
        let mut bytes = text;
        let is_complete = body.take(&mut bytes, &mut size)?;
        Ok((size, is_complete.then_some(bytes)))
    }

    #[test]
    fn chunks_are_counted_without_what_is_around_them() {
        let text = b"5\r\nhello\r\nA;name=\"v\"\r\n0123456789\r\n0\r\n\r\nrest";
        assert_eq!(read(text).unwrap(), (15, Some(&b"rest"[..])));
        let trailers = b"1 \nx\n0\nA: b\r\nC: d\n\r\n";
        assert_eq!(read(trailers).unwrap(), (1, Some(&b""[..])));
        assert_eq!(read(b"ff\r\n0123").unwrap(), (4, None));
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\r\r\n",
            b"11111111111111111\r\n",
            b"0\r\n\rx",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&[b"1;".as_slice(), &[b'x'; LINE]].concat()).is_err());
    }

    #[test]
    fn what_was_not_seen_counts_where_the_end_is_known() {
        let mut size = 0;
        let mut length = HttpBody::Length(10);
        assert!(length.skip(9, &mut size) && !length.skip(1, &mut size));
        assert!(HttpBody::UntilEof.skip(1, &mut size));
        assert!(!HttpBody::Chunked(ChunkedBody::default()).skip(1, &mut size));
        assert_eq!(size, 10);
    }
}
