//! What is sent, and what must come back.

use crate::args::{Question, Transport};
use crate::output::escape;

/// The start of an echoed message names its connection, so that an answer meant for another one is
/// noticed.
pub(super) type Name = [u8; 8];

pub(super) fn name(connection: usize) -> Name {
    let digits = format!("{connection:08x}");
    std::array::from_fn(|at| digits.as_bytes()[at])
}

/// Bytes of a wrong answer that are shown.
const SHOWN: usize = 40;

pub(super) struct Exchange {
    request: Vec<u8>,
    /// `None`: what was sent.
    answer: Option<Vec<u8>>,
}

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Received(usize),
    Complete,
}

/// An answer that is not the one expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Exchange {
    /// One line of `size` bytes that comes back.
    pub(super) fn echo(size: usize) -> Self {
        let mut request = vec![b'.'; size];
        if let Some(last) = request.last_mut() {
            *last = b'\n';
        }
        Self {
            request,
            answer: None,
        }
    }

    pub(super) fn question(question: Question, transport: Transport) -> Self {
        let mut request = question.request.into_bytes();
        if !transport.has_records() {
            request.push(b'\n');
        }
        let mut answer = question.answer.into_bytes();
        // It may or may not come.
        if answer.len() > 1 && answer.ends_with(b"\n") {
            answer.pop();
        }
        Self {
            request,
            answer: Some(answer),
        }
    }

    pub(super) fn is_echo(&self) -> bool {
        self.answer.is_none()
    }

    pub(super) fn size(&self) -> usize {
        self.request.len()
    }

    /// Room for an answer, and for some of what is too much, to be shown.
    pub(super) fn room(&self) -> usize {
        self.answer.as_ref().unwrap_or(&self.request).len() + SHOWN
    }

    /// What this connection sends.
    pub(super) fn request(&mut self, name: Name) -> &[u8] {
        if let (None, Some((_, text))) = (&self.answer, self.request.split_last_mut()) {
            let count = text.len().min(name.len());
            text[..count].copy_from_slice(&name[..count]);
        }
        &self.request
    }

    /// Compares what came with what was to come, after `received` bytes of it.
    pub(super) fn check(
        &mut self,
        name: Name,
        received: usize,
        bytes: &[u8],
    ) -> Result<Progress, Wrong> {
        let is_echo = self.answer.is_none();
        let expected = match &self.answer {
            None => self.request(name),
            Some(answer) => answer,
        };
        // A newline of the answer before that came late.
        let bytes = match bytes {
            [b'\n', rest @ ..] if !is_echo && received == 0 && expected[0] != b'\n' => rest,
            bytes => bytes,
        };
        let expected = &expected[received..];
        let count = expected.len().min(bytes.len());
        let (came, more) = bytes.split_at(count);
        let more_is_fine = more.is_empty() || (!is_echo && more == b"\n");
        if came != &expected[..count] || !more_is_fine {
            return Err(Wrong::new(expected, bytes));
        }
        Ok(match count == expected.len() {
            true => Progress::Complete,
            false => Progress::Received(received + count),
        })
    }
}

impl Wrong {
    /// Both from a little before the first difference on.
    fn new(expected: &[u8], found: &[u8]) -> Self {
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b);
        let start = same.count().saturating_sub(8);
        let shown = |bytes: &[u8]| {
            let rest = &bytes[start.min(bytes.len())..];
            let part = &rest[..rest.len().min(SHOWN)];
            let before = if start > 0 { "…" } else { "" };
            let after = if part.len() < rest.len() { "…" } else { "" };
            format!("\"{before}{}{after}\"", escape::bytes(part))
        };
        Self {
            expected: shown(expected),
            found: shown(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: &str) -> Exchange {
        let question = Question {
            request: "status".to_owned(),
            answer: answer.to_owned(),
        };
        Exchange::question(question, Transport::Unix)
    }

    #[test]
    fn an_echo_is_a_line_that_names_its_connection() {
        let mut exchange = Exchange::echo(16);
        assert_eq!(exchange.request(name(255)), b"000000ff.......\n");
        assert_eq!(Exchange::echo(1).request(name(1)), b"\n");
        assert_eq!(Exchange::echo(3).request(name(1)), b"00\n");
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let mut exchange = Exchange::echo(16);
        let line = exchange.request(name(1)).to_vec();
        let mut check = |received, bytes: &[u8]| exchange.check(name(1), received, bytes);
        assert_eq!(check(0, &line[..10]), Ok(Progress::Received(10)));
        assert_eq!(check(10, &line[10..]), Ok(Progress::Complete));
    }

    #[test]
    fn an_answer_for_another_connection_or_too_long_is_wrong() {
        let mut exchange = Exchange::echo(64);
        let mut line = exchange.request(name(1)).to_vec();
        assert!(exchange.check(name(2), 0, &line).is_err());
        line.push(b'\n');
        assert!(exchange.check(name(1), 0, &line).is_err());
    }

    #[test]
    fn a_newline_after_an_answer_does_no_harm() {
        for expected in ["ok", "ok\n"] {
            let mut exchange = asked(expected);
            let mut check = |bytes: &[u8]| exchange.check(name(0), 0, bytes);
            for fine in [b"ok" as &[u8], b"ok\n", b"\nok"] {
                assert_eq!(check(fine), Ok(Progress::Complete));
            }
            for wrong in [b"ok\n\n" as &[u8], b"OK", b"okay"] {
                assert!(check(wrong).is_err());
            }
            assert_eq!(check(b"o"), Ok(Progress::Received(1)));
            assert_eq!(check(b"\n"), Ok(Progress::Received(0)));
        }
    }

    #[test]
    fn the_first_difference_is_shown() {
        let wrong = Wrong::new(&[b'a'; 100], &[vec![b'a'; 60], vec![0x1b]].concat());
        assert_eq!(wrong.found, "\"…aaaaaaaa\\x1b\"");
        assert!(wrong.expected.ends_with("a…\""), "{}", wrong.expected);
    }
}
