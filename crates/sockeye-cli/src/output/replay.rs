//! The first difference between a recorded answer and the one that came, in context.

use std::fmt;
use std::time::Duration;

use super::duration;
use crate::escape;

/// How many bytes of each part are kept to be shown.
pub(crate) const SHOWN: usize = 160;

/// How many of them are shown where they are no text.
const SHOWN_BINARY: usize = 24;

/// Where two streams or records begin to differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// In the stream, or in the record.
    pub(crate) position: u64,
    /// The number of the record, from 0.
    pub(crate) record: Option<u64>,
    /// What is equal in front of it.
    pub(crate) before: Vec<u8>,
    pub(crate) expected: DifferingSide,
    pub(crate) found: DifferingSide,
}

/// What follows on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DifferingSide {
    Bytes(Vec<u8>),
    End,
    /// No more for so long.
    Nothing(Duration),
}

impl Difference {
    /// `byte 12 of the answer`
    pub(crate) fn place(&self, of: &str) -> impl fmt::Display {
        fmt::from_fn(move |f| match self.record {
            Some(record) => write!(f, "byte {} of record {record} of {of}", self.position),
            None => write!(f, "byte {} of {of}", self.position),
        })
    }

    /// Both sides, each as one line.
    pub(crate) fn sides(&self) -> [String; 2] {
        let before = self.shown_before();
        [&self.expected, &self.found].map(|side| self.line(before, side))
    }

    /// Three lines: both sides, and a mark at the first byte that differs.
    pub(crate) fn draw(&self) -> String {
        let [expected, found] = self.sides();
        let mark = escape::quoted(self.shown_before()).to_string();
        // Without the quote at its end.
        let indent = mark.chars().count() - 1;
        format!(
            "  expected {expected}\n  found    {found}\n           {:indent$}^\n",
            ""
        )
    }

    fn line(&self, before: &[u8], side: &DifferingSide) -> String {
        let end = if self.record.is_some() {
            "the end of the record"
        } else {
            "EOF"
        };
        let after = match side {
            DifferingSide::Bytes(bytes) => {
                let shown = [before, self.shown(bytes)].concat();
                return escape::quoted(&shown).to_string();
            }
            DifferingSide::End => end.to_owned(),
            DifferingSide::Nothing(time) => format!("nothing for {}", duration(*time)),
        };
        format!("{} and then {after}", escape::quoted(before))
    }

    /// Of text the line, of anything else some bytes.
    fn shown_before(&self) -> &[u8] {
        if !self.is_text() {
            return &self.before[self.before.len().saturating_sub(SHOWN_BINARY)..];
        }
        let ends = |at: &usize| self.before[*at] == b'\n';
        let line = (0..self.before.len()).rev().find(ends);
        let line = line.map_or(0, |at| at + 1);
        let mut from = line.max(self.before.len().saturating_sub(SHOWN / 2));
        // Not in the middle of a character.
        while self
            .before
            .get(from)
            .is_some_and(|byte| byte & 0xc0 == 0x80)
        {
            from += 1;
        }
        &self.before[from..]
    }

    fn shown<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.is_text() {
            return &bytes[..bytes.len().min(SHOWN_BINARY)];
        }
        let line = bytes.iter().position(|&byte| byte == b'\n');
        let line = line.map_or(bytes.len(), |at| at + 1);
        &bytes[..line.min(SHOWN / 2)]
    }

    fn is_text(&self) -> bool {
        let bytes = |side: &DifferingSide| match side {
            DifferingSide::Bytes(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        let all = [&*self.before, &bytes(&self.expected), &bytes(&self.found)].concat();
        let control = |byte: &&u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
        let odd = all.iter().filter(control).count();
        odd * 16 <= all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_text_the_line_is_shown() {
        let difference = Difference {
            position: 33,
            record: None,
            before: b"HTTP/1.0 200 OK\r\nContent-Length: ".to_vec(),
            expected: DifferingSide::Bytes(b"12\r\n\r\nhello".to_vec()),
            found: DifferingSide::Bytes(b"9\r\n\r\nhi".to_vec()),
        };
        assert_eq!(
            difference.place("the answer").to_string(),
            "byte 33 of the answer"
        );
        assert_eq!(
            difference.draw(),
            concat!(
                "  expected \"Content-Length: 12\\r\\n\"\n",
                "  found    \"Content-Length: 9\\r\\n\"\n",
                "                            ^\n"
            )
        );
    }

    #[test]
    fn of_bytes_some_are_shown_and_an_end_is_named() {
        let difference = Difference {
            position: 2,
            record: Some(3),
            before: vec![0, 1],
            expected: DifferingSide::Bytes(vec![2; 100]),
            found: DifferingSide::End,
        };
        let [expected, found] = difference.sides();
        assert_eq!(expected, format!("\"\\x00\\x01{}\"", "\\x02".repeat(24)));
        assert_eq!(found, "\"\\x00\\x01\" and then the end of the record");
    }
}
