//! What is sent, and what must come back.

use super::question::{Expected, Question};
use crate::args::Framing;
use crate::escape;
use crate::transport::Transport;

/// The start of an echoed message names its connection, so that an answer meant for another one is
/// noticed.
pub(super) type Name = [u8; 8];

pub(super) fn name(connection: usize) -> Name {
    let digits = format!("{connection:08x}");
    std::array::from_fn(|at| digits.as_bytes()[at])
}

/// Bytes of a wrong answer that are shown, and how many of these are its last.
const SHOWN: usize = 40;
const SHOWN_LAST: usize = 8;
/// Room for an answer whose size is not known.
const ROOM: usize = 64 << 10;
/// The length in front of a message.
const LENGTH: usize = size_of::<u32>();

pub(super) struct BenchExchange {
    /// As it goes over the wire.
    request: Vec<u8>,
    answer: AnswerCheck,
    end: AnswerEnd,
}

enum AnswerCheck {
    /// What was sent.
    Echo,
    /// These bytes, with the length in front if there is one.
    Exactly(Vec<u8>),
    /// Something that begins with this.
    Prefix(Vec<u8>),
}

/// Where an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswerEnd {
    Record,
    Newline,
    Read,
    Length,
}

/// How much of an answer has come.
#[derive(Clone, Copy, Default)]
pub(super) struct AnswerProgress {
    count: usize,
    /// As far as its bytes have come.
    length: u32,
}

impl AnswerProgress {
    pub(super) fn is_nothing(self) -> bool {
        self.count == 0
    }
}

/// An answer that is not the one expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Differs {
        expected: String,
        found: String,
    },
    /// More than one line.
    Longer,
}

impl BenchExchange {
    /// A message of `size` bytes that comes back: a line, or what has a length in front.
    pub(super) fn echo(size: usize, framing: Framing) -> Self {
        let mut request = vec![b'.'; size];
        if let Some(last) = request.last_mut() {
            *last = b'\n';
        }
        let end = AnswerEnd::of(framing);
        Self {
            request: end.frame(request),
            answer: AnswerCheck::Echo,
            end,
        }
    }

    pub(super) fn question(question: &Question, transport: Transport, framing: Framing) -> Self {
        let end = match transport.has_records() {
            true => AnswerEnd::Record,
            false => AnswerEnd::of(framing),
        };
        let answer = match &question.answer {
            Expected::Text(text) => {
                let mut text = text.clone().into_bytes();
                // It may or may not come.
                if end != AnswerEnd::Length && text.len() > 1 && text.ends_with(b"\n") {
                    text.pop();
                }
                AnswerCheck::Exactly(end.frame(text))
            }
            Expected::Prefix(text) => AnswerCheck::Prefix(text.clone().into_bytes()),
            Expected::Any => AnswerCheck::Prefix(Vec::new()),
        };
        let mut request = question.request.clone();
        if question.is_line && matches!(end, AnswerEnd::Newline | AnswerEnd::Read) {
            request.push(b'\n');
        }
        Self {
            request: end.frame(request),
            answer,
            end,
        }
    }

    pub(super) fn is_echo(&self) -> bool {
        matches!(self.answer, AnswerCheck::Echo)
    }

    /// Bytes of a request, without the length in front.
    pub(super) fn size(&self) -> usize {
        self.request.len() - self.end.header()
    }

    /// Bytes of a request on the wire.
    pub(super) fn wire_size(&self) -> usize {
        self.request.len()
    }

    /// Room for an answer, and for some of what is too much, to be shown.
    pub(super) fn room(&self) -> usize {
        match &self.answer {
            AnswerCheck::Echo => self.request.len() + SHOWN,
            AnswerCheck::Exactly(text) => text.len() + SHOWN,
            AnswerCheck::Prefix(text) => text.len() + ROOM,
        }
    }

    /// What this connection sends.
    pub(super) fn request(&mut self, name: Name) -> &[u8] {
        if let (AnswerCheck::Echo, Some((_, text))) = (
            &self.answer,
            self.request[self.end.header()..].split_last_mut(),
        ) {
            let count = text.len().min(name.len());
            text[..count].copy_from_slice(&name[..count]);
        }
        &self.request
    }

    /// Compares what came with what was to come, after `came` of it. Returns whether that is all.
    pub(super) fn check(
        &mut self,
        name: Name,
        came: &mut AnswerProgress,
        bytes: &[u8],
    ) -> Result<bool, Wrong> {
        match &self.answer {
            AnswerCheck::Echo => {
                self.request(name);
                equals(&self.request, None, came, bytes)
            }
            AnswerCheck::Exactly(text) => equals(text, Some(self.end), came, bytes),
            AnswerCheck::Prefix(prefix) => begins(prefix, self.end, came, bytes),
        }
    }

    /// Whether an answer is complete because nothing more comes.
    pub(super) fn ends_with_input(&self, came: AnswerProgress) -> bool {
        match &self.answer {
            AnswerCheck::Prefix(prefix) => {
                self.end == AnswerEnd::Newline && came.count >= prefix.len().max(1)
            }
            _ => false,
        }
    }
}

impl AnswerEnd {
    fn of(framing: Framing) -> Self {
        match framing {
            Framing::Line => Self::Newline,
            Framing::Raw => Self::Read,
            Framing::Length => Self::Length,
        }
    }

    fn header(self) -> usize {
        match self {
            Self::Length => LENGTH,
            _ => 0,
        }
    }

    fn frame(self, payload: Vec<u8>) -> Vec<u8> {
        match (self, u32::try_from(payload.len())) {
            (Self::Length, Ok(length)) => [&length.to_be_bytes()[..], &payload].concat(),
            _ => payload,
        }
    }
}

/// Against an answer that is known. `end` is `None` for an echo, with which nothing more may come.
fn equals(
    expected: &[u8],
    end: Option<AnswerEnd>,
    came: &mut AnswerProgress,
    bytes: &[u8],
) -> Result<bool, Wrong> {
    let is_lax = !matches!(end, None | Some(AnswerEnd::Length));
    // A newline of the answer before that came late.
    let bytes = match bytes {
        [b'\n', rest @ ..] if is_lax && came.is_nothing() && expected[0] != b'\n' => rest,
        bytes => bytes,
    };
    let rest = &expected[came.count..];
    let count = rest.len().min(bytes.len());
    let (now, more) = bytes.split_at(count);
    let more_is_fine = more.is_empty() || (is_lax && more == b"\n");
    if now != &rest[..count] || !more_is_fine {
        let newline: &[u8] = match end {
            Some(AnswerEnd::Newline) => b"\n",
            _ => b"",
        };
        return Err(Wrong::new(&[rest, newline].concat(), bytes));
    }
    came.count += count;
    Ok(came.count == expected.len())
}

/// Against the beginning of an answer.
fn begins(
    prefix: &[u8],
    end: AnswerEnd,
    came: &mut AnswerProgress,
    bytes: &[u8],
) -> Result<bool, Wrong> {
    let header = end.header();
    let (front, payload) = bytes.split_at(header.saturating_sub(came.count).min(bytes.len()));
    came.length = front
        .iter()
        .fold(came.length, |length, byte| length << 8 | u32::from(*byte));
    came.count += front.len();
    if came.count < header {
        return Ok(false);
    }
    let before = came.count - header;
    let rest = &prefix[before.min(prefix.len())..];
    let compared = rest.len().min(payload.len());
    let is_short = (end == AnswerEnd::Record && compared < rest.len())
        || (end == AnswerEnd::Length && (came.length as usize) < prefix.len());
    if payload[..compared] != rest[..compared] || is_short {
        return Err(Wrong::new(rest, payload));
    }
    came.count += payload.len();
    let has_prefix = compared == rest.len();
    match end {
        AnswerEnd::Record => Ok(true),
        AnswerEnd::Read => Ok(has_prefix),
        AnswerEnd::Length => match (came.count - header).cmp(&(came.length as usize)) {
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Equal => Ok(true),
            std::cmp::Ordering::Greater => Err(Wrong::Longer),
        },
        AnswerEnd::Newline if prefix.ends_with(b"\n") && has_prefix => {
            match compared == payload.len() {
                true => Ok(true),
                false => Err(Wrong::Longer),
            }
        }
        AnswerEnd::Newline => match payload[compared..].iter().position(|byte| *byte == b'\n') {
            Some(at) if compared + at + 1 < payload.len() => Err(Wrong::Longer),
            found => Ok(found.is_some()),
        },
    }
}

impl Wrong {
    /// Both from a little before the first difference on, and to their ends.
    fn new(expected: &[u8], found: &[u8]) -> Self {
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b);
        let start = same.count().saturating_sub(8);
        let shown = |bytes: &[u8]| {
            let rest = &bytes[start.min(bytes.len())..];
            let before = if start > 0 { "…" } else { "" };
            if rest.len() <= SHOWN {
                return format!("\"{before}{}\"", escape::bytes(rest));
            }
            let (first, last) = (
                &rest[..SHOWN - SHOWN_LAST],
                &rest[rest.len() - SHOWN_LAST..],
            );
            format!(
                "\"{before}{}…{}\"",
                escape::bytes(first),
                escape::bytes(last)
            )
        };
        Self::Differs {
            expected: shown(expected),
            found: shown(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: Expected, framing: Framing) -> BenchExchange {
        let question = Question {
            request: b"status".to_vec(),
            is_line: true,
            answer,
        };
        BenchExchange::question(&question, Transport::Unix, framing)
    }

    /// How the pieces of an answer are taken, from the first on.
    fn taken(exchange: &mut BenchExchange, pieces: &[&[u8]]) -> Result<bool, Wrong> {
        let mut came = AnswerProgress::default();
        let mut is_all = false;
        for piece in pieces {
            assert!(!is_all, "nothing follows an answer");
            is_all = exchange.check(name(1), &mut came, piece)?;
        }
        Ok(is_all)
    }

    #[test]
    fn an_echo_is_a_line_that_names_its_connection() {
        let echo = |size| BenchExchange::echo(size, Framing::Line);
        assert_eq!(echo(16).request(name(255)), b"000000ff.......\n");
        assert_eq!(echo(1).request(name(1)), b"\n");
        assert_eq!(echo(3).request(name(1)), b"00\n");
        let mut framed = BenchExchange::echo(4, Framing::Length);
        assert_eq!(framed.request(name(1)), b"\0\0\0\x04000\n");
        assert_eq!((framed.size(), framed.wire_size()), (4, 8));
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let mut exchange = BenchExchange::echo(16, Framing::Line);
        let line = exchange.request(name(1)).to_vec();
        assert_eq!(taken(&mut exchange, &[&line[..10]]), Ok(false));
        assert_eq!(taken(&mut exchange, &[&line[..10], &line[10..]]), Ok(true));
    }

    #[test]
    fn an_answer_for_another_connection_or_too_long_is_wrong() {
        let mut exchange = BenchExchange::echo(64, Framing::Line);
        let mut line = exchange.request(name(2)).to_vec();
        assert!(taken(&mut exchange, &[&line]).is_err());
        line = exchange.request(name(1)).to_vec();
        line.push(b'\n');
        assert!(taken(&mut exchange, &[&line]).is_err());
    }

    #[test]
    fn a_newline_after_an_answer_does_no_harm() {
        for expected in ["ok", "ok\n"] {
            let mut exchange = asked(Expected::Text(expected.to_owned()), Framing::Line);
            for fine in [
                &[b"ok" as &[u8]][..],
                &[b"ok\n"],
                &[b"\nok"],
                &[b"\n", b"ok"],
            ] {
                assert_eq!(taken(&mut exchange, fine), Ok(true));
            }
            for wrong in [b"ok\n\n" as &[u8], b"OK", b"okay"] {
                assert!(taken(&mut exchange, &[wrong]).is_err());
            }
            assert_eq!(taken(&mut exchange, &[b"o"]), Ok(false));
        }
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_line_a_read_or_a_framed_answer() {
        let prefix = |framing| asked(Expected::Prefix("ok".to_owned()), framing);
        let lines = &mut prefix(Framing::Line);
        assert_eq!(taken(lines, &[b"o", b"k 7", b"\n"]), Ok(true));
        assert_eq!(taken(lines, &[b"ok"]), Ok(false));
        assert_eq!(taken(lines, &[b"ok\nmore"]), Err(Wrong::Longer));
        assert!(taken(lines, &[b"o", b"h"]).is_err());
        let raw = &mut prefix(Framing::Raw);
        assert_eq!(taken(raw, &[b"ok\nmore"]), Ok(true));
        assert_eq!(taken(raw, &[b"o", b"k"]), Ok(true));
        let length = &mut prefix(Framing::Length);
        assert_eq!(taken(length, &[b"\0\0", b"\0\x04o", b"k", b"ay"]), Ok(true));
        assert_eq!(taken(length, &[b"\0\0\0\x02okay"]), Err(Wrong::Longer));
        assert!(taken(length, &[b"\0\0\0\x01o"]).is_err());
        let any = &mut asked(Expected::Any, Framing::Length);
        assert_eq!(taken(any, &[b"\0\0\0\0"]), Ok(true));
        let any = &mut asked(Expected::Any, Framing::Line);
        assert_eq!(taken(any, &[b"\n"]), Ok(true));
    }

    #[test]
    fn the_first_difference_and_both_ends_are_shown() {
        let Wrong::Differs { expected, found } =
            Wrong::new(&[b'a'; 100], &[vec![b'a'; 60], vec![0x1b]].concat())
        else {
            panic!("they differ");
        };
        assert_eq!(found, "\"…aaaaaaaa\\x1b\"");
        assert!(expected.ends_with("a…aaaaaaaa\""), "{expected}");
        let exchange = &mut asked(Expected::Text("ok".to_owned()), Framing::Line);
        let Err(Wrong::Differs { expected, found }) = taken(exchange, &[b"ok\r\n"]) else {
            panic!("they differ");
        };
        assert_eq!((&*expected, &*found), ("\"ok\\n\"", "\"ok\\r\\n\""));
    }
}
