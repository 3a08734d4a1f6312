//! [`Masks`]: what `--mask` leaves out of a comparison.

use regex::bytes::{Regex, RegexBuilder};

use crate::exit::{Exit, failure};

/// The longest match that is left out for certain; of a longer one a part may be compared.
pub(super) const LONGEST_MATCH: usize = 32 << 10;

/// What is kept in front of the unread bytes, for `^` and `\b`.
const CONTEXT: usize = 8;

/// Regular expressions over bytes. `^` and `$` match at lines, which end with `\n` or `\r\n`.
#[derive(Debug, Default)]
pub(super) struct Masks(Vec<Regex>);

impl Masks {
    pub(super) fn new(expressions: &[String]) -> anyhow::Result<Self> {
        let compile = |expression: &String| {
            let mut builder = RegexBuilder::new(expression);
            let built = builder.multi_line(true).crlf(true).build();
            built.map_err(|error| {
                // The last line says what is wrong; those before draw where.
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default();
                let why = why.trim_start_matches("error: ");
                let expression = crate::escape::quoted(expression.as_bytes());
                failure(
                    Exit::Usage,
                    format!("cannot use --mask {expression}: {why}"),
                )
            })
        };
        let compiled: anyhow::Result<Vec<Regex>> = expressions.iter().map(compile).collect();
        compiled.map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first match from `at` on that is not empty: its beginning and end.
    fn find(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let first = |mask: &Regex| {
            let mut at = at;
            loop {
                let found = mask.find_at(bytes, at)?;
                if !found.is_empty() {
                    return Some((found.start(), found.end()));
                }
                at = found.end() + 1;
                if at > bytes.len() {
                    return None;
                }
            }
        };
        let found = self.0.iter().filter_map(first);
        found.min_by_key(|&(start, end)| (start, usize::MAX - end))
    }

    /// The parts between the matches in `bytes`, from `at` on: where they begin and end.
    fn unmasked(&self, bytes: &[u8], at: usize) -> Vec<(usize, usize)> {
        let (mut parts, mut at) = (Vec::new(), at);
        while let Some((start, end)) = self.find(bytes, at) {
            parts.push((at, start));
            at = end;
        }
        parts.push((at, bytes.len()));
        parts.retain(|(start, end)| start < end);
        parts
    }

    /// A record without what is left out.
    pub(super) fn strip(&self, record: &[u8]) -> Vec<u8> {
        let parts = self.unmasked(record, 0);
        let parts = parts.iter().map(|&(start, end)| &record[start..end]);
        parts.collect::<Vec<_>>().concat()
    }
}

/// A stream of bytes without what the masks match, as it comes.
pub(super) struct MaskedStream {
    /// What has come and may still become part of a match, behind some context.
    held: Vec<u8>,
    /// Where in `held` the context ends.
    from: usize,
    /// The position in the stream of `held[from]`.
    position: u64,
    /// What is left to compare.
    left: Vec<u8>,
    /// Where in the stream the parts of `left` come from: the position of a byte of `left`, and its
    /// position in the stream.
    parts: Vec<(u64, u64)>,
    /// How many bytes have been taken out of `left`.
    compared: u64,
}

impl MaskedStream {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            from: 0,
            position: 0,
            left: Vec::new(),
            parts: Vec::new(),
            compared: 0,
        }
    }

    /// How many bytes have come.
    pub(super) fn received(&self) -> u64 {
        self.position + (self.held.len() - self.from) as u64
    }

    pub(super) fn push(&mut self, bytes: &[u8], masks: &Masks) {
        self.held.extend_from_slice(bytes);
        if masks.is_empty() {
            self.release(&[(self.from, self.held.len())], self.held.len());
        } else if self.held.len() - self.from >= 2 * LONGEST_MATCH {
            // A match that begins before this ends in what is here, if it is no longer than allowed.
            let safe = self.held.len() - LONGEST_MATCH;
            let (mut parts, mut at) = (Vec::new(), self.from);
            while let Some((start, end)) = masks.find(&self.held, at)
                && start < safe
            {
                parts.push((at, start));
                at = end;
            }
            if at < safe {
                parts.push((at, safe));
                at = safe;
            }
            self.release(&parts, at);
        }
    }

    /// Nothing more comes: what is held can become part of no other match.
    pub(super) fn finish(&mut self, masks: &Masks) {
        let parts = masks.unmasked(&self.held, self.from);
        self.release(&parts, self.held.len());
    }

    /// What is left to compare if nothing more came, and whether it ended with something left out.
    pub(super) fn preview(&self, masks: &Masks) -> (Vec<u8>, bool) {
        let mut left = self.left.clone();
        if masks.is_empty() {
            return (left, false);
        }
        let parts = masks.unmasked(&self.held, self.from);
        let end = parts.last().map_or(self.from, |&(_, end)| end);
        for (start, end) in parts {
            left.extend_from_slice(&self.held[start..end]);
        }
        (left, end < self.held.len())
    }

    /// What is left to compare for certain.
    pub(super) fn left(&self) -> &[u8] {
        &self.left
    }

    /// `count` bytes of what was left are equal.
    pub(super) fn settle(&mut self, count: usize) {
        self.left.drain(..count);
        self.compared += count as u64;
        let done = self.parts.partition_point(|&(at, _)| at <= self.compared);
        self.parts.drain(..done.saturating_sub(1));
    }

    /// The position in the stream of the byte `index` of what is left, or of the end.
    pub(super) fn position_of(&self, index: usize) -> u64 {
        let at = self.compared + index as u64;
        let part = self.parts.iter().rev().find(|&&(begin, _)| begin <= at);
        part.map_or(at, |&(begin, position)| position + (at - begin))
    }

    /// Moves parts of `held` to `left`, and goes on at `at`.
    fn release(&mut self, parts: &[(usize, usize)], at: usize) {
        for &(start, end) in parts.iter().filter(|(start, end)| start < end) {
            let position = self.position + (start - self.from) as u64;
            let begin = self.compared + self.left.len() as u64;
            let follows = self.parts.last().is_some_and(|&(last_begin, last)| {
                position >= last && position - last == begin - last_begin
            });
            if !follows {
                self.parts.push((begin, position));
            }
            self.left.extend_from_slice(&self.held[start..end]);
        }
        self.position += (at - self.from) as u64;
        let unneeded = at.saturating_sub(CONTEXT);
        self.held.drain(..unneeded);
        self.from = at - unneeded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masks(expressions: &[&str]) -> Masks {
        let expressions: Vec<String> = expressions.iter().map(|&e| e.to_owned()).collect();
        Masks::new(&expressions).unwrap()
    }

    #[test]
    fn what_matches_is_left_out() {
        let masks = masks(&["^Date: .*", "id=[0-9]+"]);
        let stripped = masks.strip(b"HTTP/1.0 200 OK\r\nDate: Mon\r\n\r\nid=17, xid=4");
        assert_eq!(stripped, b"HTTP/1.0 200 OK\r\n\r\n\r\n, x");
    }

    #[test]
    fn a_mask_that_is_no_expression_is_named() {
        let error = Masks::new(&["(".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "cannot use --mask \"(\": unclosed group");
    }

    #[test]
    fn positions_are_those_of_the_stream() {
        let masks = masks(&["[0-9]+"]);
        let mut stream = MaskedStream::new();
        stream.push(b"ab12345cd6e", &masks);
        stream.finish(&masks);
        assert_eq!(stream.left(), b"abcde");
        let positions: Vec<u64> = (0..5).map(|index| stream.position_of(index)).collect();
        assert_eq!(positions, [0, 1, 7, 8, 10]);
        stream.settle(3);
        assert_eq!(stream.position_of(0), 8);
        assert_eq!(stream.position_of(1), 10);
    }

    proptest! {
        // Each is up to 200 KB, in a debug build of regex.
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_stream_in_pieces_is_as_one(
            text in prop::collection::vec(prop::sample::select(b"a1 \n".to_vec()), 0..200),
            repeat in 1usize..1000,
            piece in 100usize..100_000,
        ) {
            let masks = masks(&["[0-9]+", "^ a"]);
            let text = text.repeat(repeat);
            let mut stream = MaskedStream::new();
            for piece in text.chunks(piece) {
                stream.push(piece, &masks);
            }
            stream.finish(&masks);
            prop_assert!(stream.left() == masks.strip(&text));
            prop_assert_eq!(stream.received(), text.len() as u64);
        }
    }
}
